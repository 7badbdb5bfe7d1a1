"""Names, passwords and queries of URLs, kept out of what is shown and logged."""

import re

HIDDEN = "***"

_LOGIN = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE)
_LOGIN_INSIDE = re.compile(r"//[^/\s]*@")
_WORD_INSIDE = re.compile(r"(?:\burl: |\bhttps?://)\S*", re.IGNORECASE)
"""What the libraries say of a request begins its path with `url: `. A match has all of a word, so
that no other begins in it: the time is in proportion to the text, which a receiver may write."""
_QUOTED_INSIDE = re.compile(r"""(["'])(/[^\s?"']*)\?(?:(?!\1).)*(\1|$)""", re.DOTALL)
"""A path that Python's library for HTTP shows; what it complains of may be a space in it."""
_LOOKED_AT_MAX = 1 << 16
"""Characters: what is longer is cut."""


def without_secrets(url: str) -> str:
    """A URL for people: nothing in front of its host, and no query.

    What is no URL is cut rather too early: a password with a slash in it is hidden as well.
    """
    place, mark, _ = url.partition("?")
    return _LOGIN.sub(rf"\1{HIDDEN}@", place) + (f"?{HIDDEN}" if mark else "")


def masked(text: str) -> str:
    """A message in which URLs may stand, without their secrets and not longer than 64 Ki."""
    text = _LOGIN_INSIDE.sub(f"//{HIDDEN}@", text[:_LOOKED_AT_MAX])
    text = _QUOTED_INSIDE.sub(rf"\1\2?{HIDDEN}\3", text)
    return _WORD_INSIDE.sub(_without_query, text)


def _without_query(word: re.Match[str]) -> str:
    place, mark, _ = word[0].partition("?")
    return f"{place}?{HIDDEN}" if mark else place
