"""Names, passwords and queries of URLs, kept out of what is shown and logged."""

import re

HIDDEN = "***"

_LOGIN = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE)
_LOGIN_INSIDE = re.compile(r"//[^/\s]*@")
_QUERY_INSIDE = re.compile(r"((?:\burl: |\bhttps?://)[^\s?]*)\?\S*")
"""What the libraries say of a request begins its path with `url: `."""


def without_secrets(url: str) -> str:
    """A URL for people: nothing in front of its host, and no query.

    What is no URL is cut rather too early: a password with a slash in it is hidden as well.
    """
    place, mark, _ = url.partition("?")
    return _LOGIN.sub(rf"\1{HIDDEN}@", place) + (f"?{HIDDEN}" if mark else "")


def masked(text: str) -> str:
    """A message in which URLs may stand, without their secrets."""
    return _QUERY_INSIDE.sub(rf"\1?{HIDDEN}", _LOGIN_INSIDE.sub(f"//{HIDDEN}@", text))
