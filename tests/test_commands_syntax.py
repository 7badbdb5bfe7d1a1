"""The syntax of rows becomes the argument maps of COMMAND DOCS."""

from __future__ import annotations

import pytest

from ferrite_py.commands.syntax import Argument, SyntaxNotationError, parse_syntax


def parse(syntax: str, *, command: str = "x", key_specs: int = 0) -> list[Argument]:
    """The arguments of a command with that syntax."""
    return list(parse_syntax(command, syntax, key_specs))


def token(text: str, *, is_optional: bool = False) -> Argument:
    """A token that stands for itself."""
    return Argument(text.lower(), "pure-token", text, is_optional=is_optional)


def test_words() -> None:
    """Words are arguments; some names tell the type."""
    assert parse("") == []
    assert parse("value seconds unix-time-seconds pattern") == [
        Argument("value", "string"),
        Argument("seconds", "integer"),
        Argument("unix-time-seconds", "unix-time"),
        Argument("pattern", "pattern"),
    ]
    assert parse("increment") == [Argument("increment", "integer")]
    assert parse("increment", command="incrbyfloat") == [Argument("increment", "double")]


def test_keys() -> None:
    """Keys know their specification; without any specification a key is a text."""
    assert parse("destkey key [key ...]", key_specs=2) == [
        Argument("destkey", "key", key_spec=0),
        Argument("key", "key", key_spec=1, is_multiple=True),
    ]
    assert [one.key_spec for one in parse("key1 key2", key_specs=1)] == [0, 0]
    assert parse("key") == [Argument("key", "string")]


def test_alternatives() -> None:
    """Bars separate alternatives, required in angles and optional in brackets."""
    both = (token("NX"), token("XX"))

    assert parse("[NX | XX]") == [Argument("nx_xx", "oneof", is_optional=True, arguments=both)]
    assert parse("<NX | XX>") == [Argument("nx_xx", "oneof", arguments=both)]


def test_tokens() -> None:
    """A token belongs to the word behind it, to several, to a group, or to none."""
    assert parse("[GET]") == [token("GET", is_optional=True)]
    assert parse("[EX seconds]") == [Argument("seconds", "integer", "EX", is_optional=True)]
    assert parse("[AUTH username password]") == [
        Argument(
            "username_password",
            "block",
            "AUTH",
            is_optional=True,
            arguments=(Argument("username", "string"), Argument("password", "string")),
        )
    ]
    assert parse("BY <A | B>") == [
        Argument("a_b", "oneof", "BY", arguments=(token("A"), token("B")))
    ]


def test_repetition() -> None:
    """What is named again with dots may come several times, its token each time."""
    assert parse("a [a ...]") == [Argument("a", "string", is_multiple=True)]
    assert parse("[a [a ...]]") == [Argument("a", "string", is_multiple=True, is_optional=True)]
    assert parse("[a ...]") == [Argument("a", "string", is_multiple=True, is_optional=True)]
    pair = (Argument("a", "string"), Argument("b", "string"))
    assert parse("a b [a b ...]") == [Argument("a_b", "block", is_multiple=True, arguments=pair)]
    assert parse("[T a [T a ...]]") == [
        Argument("a", "string", "T", is_optional=True, is_multiple=True, repeats_token=True)
    ]
    assert parse("<A | B ...>")[0].arguments[1].is_multiple


def test_repeated_alternatives() -> None:
    """Alternatives as a whole may be repeated too."""
    [found] = parse("[GET offset | SET offset value [GET offset | SET offset value ...]]")

    assert (found.kind, found.is_optional, found.is_multiple) == ("oneof", True, True)
    assert [one.token for one in found.arguments] == ["GET", "SET"]


@pytest.mark.parametrize("syntax", ["[a", "a]", "<a]", "[]", "...", "[a <b] c>"])
def test_wrong_notation(syntax: str) -> None:
    """A row that cannot be read is a mistake that shows."""
    with pytest.raises(SyntaxNotationError):
        parse(syntax)
