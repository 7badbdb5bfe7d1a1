"""From the syntax notation of a command's row to the argument maps of COMMAND DOCS.

The notation is the one of the command pages: `key value [NX | XX] [EX seconds] [item ...]`.
Capitals are tokens, typed as they stand; other words are arguments; `[...]` may be left out,
`<...>` groups, `|` separates alternatives, and `x [x ...]` or `x ...` says that x may be repeated.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_TOKENS = re.compile(r"\.\.\.|[\[\]<>|]|[^\s\[\]<>|]+")
_CLOSING = {"[": "]", "<": ">"}
_KEYS = frozenset(
    {"key", "newkey", "destkey", "sourcekey", "key1", "key2", "source", "destination"}
)
_INTEGERS = frozenset({
    "bit", "bytes", "client-id", "columns", "count", "cpu", "cursor", "db", "decrement",
    "destination-db", "end", "frequency", "increment", "index", "index1", "index2", "length",
    "milliseconds", "min-match-len", "numreplicas", "offset", "port", "protover", "rows",
    "samples", "seconds", "start", "threshold", "timeout", "ttl", "version",
})  # fmt: skip
_EXCEPTIONS = {("incrbyfloat", "increment"): "double"}
"""Where a name means another type than elsewhere: by command and argument."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, or a group of them; `kind` is the type that COMMAND DOCS names."""

    name: str
    kind: str
    token: str = ""
    key_spec: int = -1
    is_optional: bool = False
    is_multiple: bool = False
    repeats_token: bool = False
    arguments: tuple["Argument", ...] = ()


class SyntaxNotationError(ValueError):
    """A row's syntax cannot be read."""


def parse_syntax(command: str, syntax: str, key_specs: int) -> tuple[Argument, ...]:
    """The arguments that a syntax stands for.

    Args:
        command: the row's name, for the few arguments whose type depends on it.
        syntax: the notation; empty for none.
        key_specs: how many key specifications the row has.

    Raises:
        SyntaxNotationError: brackets do not match, or a group is empty.
    """
    tokens = _TOKENS.findall(syntax)
    if not tokens:
        return ()
    made = _Maker(command).sequence(tokens)
    numbered, _ = _number_keys(made, key_specs, 0)
    return numbered


class _Maker:
    """Turns the tokens of one command's syntax into arguments."""

    def __init__(self, command: str) -> None:
        self._command = command

    def sequence(self, tokens: Sequence[str]) -> tuple[Argument, ...]:
        """The arguments of tokens that follow each other, alternatives included."""
        repeat = self._repeat(tokens)
        if repeat is not None:
            return repeat
        alternatives = _split(tokens)
        if len(alternatives) > 1:
            choices = tuple(self._grouped(one) for one in alternatives)
            return (Argument(_joined(choices), "oneof", arguments=choices),)
        found: list[Argument] = []
        at = 0
        while at < len(tokens):
            argument, at = self._one(tokens, at)
            if tokens[at : at + 1] == ["..."]:
                argument = _repeated(argument)
                at += 1
            found.append(argument)
        return tuple(found)

    def _repeat(self, tokens: Sequence[str]) -> tuple[Argument, ...] | None:
        """The sequence around the first `[x ...]`, which makes the x before it repeatable."""
        for at, token in enumerate(tokens):
            if token != "[" or _depth(tokens[:at]):
                continue
            end = _closing(tokens, at)
            body = tokens[at + 1 : end]
            if not body or body[-1] != "...":
                continue
            body = body[:-1]
            begin = at - len(body)
            is_repeated = begin >= 0 and tokens[begin:at] == body
            made = replace(_repeated(self._grouped(body)), is_optional=not is_repeated)
            before = tokens[:begin] if is_repeated else tokens[:at]
            return (*self._rest(before), made, *self._rest(tokens[end + 1 :]))
        return None

    def _rest(self, tokens: Sequence[str]) -> tuple[Argument, ...]:
        return self.sequence(tokens) if tokens else ()

    def _grouped(self, tokens: Sequence[str]) -> Argument:
        """One argument for the tokens: what they are, or a block of it."""
        found = self.sequence(tokens)
        if not found:
            raise SyntaxNotationError(f"{self._command}: an empty group")
        return found[0] if len(found) == 1 else Argument(_joined(found), "block", arguments=found)

    def _one(self, tokens: Sequence[str], at: int) -> tuple[Argument, int]:
        token = tokens[at]
        if token in _CLOSING:
            end = _closing(tokens, at)
            inner = self._grouped(tokens[at + 1 : end])
            return replace(inner, is_optional=token == "[" or inner.is_optional), end + 1
        if token in ("]", ">", "..."):
            raise SyntaxNotationError(f"{self._command}: {token!r} does not belong there")
        if _is_token(token):
            return self._behind_token(tokens, at)
        return self._word(token), at + 1

    def _behind_token(self, tokens: Sequence[str], at: int) -> tuple[Argument, int]:
        """A token with what belongs to it: the words behind it, or the group behind it."""
        token = tokens[at]
        end = at + 1
        if end < len(tokens) and tokens[end] == "<":
            group, end = self._one(tokens, end)
            return replace(group, token=token), end
        while end < len(tokens) and not _is_special(tokens[end]) and not _is_token(tokens[end]):
            end += 1
        words = tuple(self._word(word) for word in tokens[at + 1 : end])
        if not words:
            return Argument(token.lower(), "pure-token", token=token), end
        if len(words) == 1:
            return replace(words[0], token=token), end
        return Argument(_joined(words), "block", token=token, arguments=words), end

    def _word(self, word: str) -> Argument:
        return Argument(word, _EXCEPTIONS.get((self._command, word)) or _kind(word))


def _repeated(argument: Argument) -> Argument:
    """The argument, which may come several times, its token with it."""
    return replace(argument, is_multiple=True, repeats_token=bool(argument.token))


def _kind(word: str) -> str:
    if word in _KEYS:
        return "key"
    if word.startswith("unix-time"):
        return "unix-time"
    if word == "pattern":
        return "pattern"
    return "integer" if word in _INTEGERS else "string"


def _is_token(word: str) -> bool:
    return word.upper() == word and word.lower() != word


def _is_special(token: str) -> bool:
    return token in ("[", "]", "<", ">", "|", "...")


def _depth(tokens: Sequence[str]) -> int:
    return sum((token in ("[", "<")) - (token in ("]", ">")) for token in tokens)


def _closing(tokens: Sequence[str], at: int) -> int:
    """The place of the bracket that closes the one at `at`."""
    open_brackets: list[str] = []
    for place in range(at, len(tokens)):
        if tokens[place] in _CLOSING:
            open_brackets.append(_CLOSING[tokens[place]])
        elif tokens[place] in _CLOSING.values():
            if open_brackets.pop() != tokens[place]:
                break
            if not open_brackets:
                return place
    raise SyntaxNotationError(f"brackets do not match: {' '.join(tokens)}")


def _split(tokens: Sequence[str]) -> list[Sequence[str]]:
    """The alternatives between the bars that stand in no bracket."""
    bars = [at for at, token in enumerate(tokens) if token == "|" and not _depth(tokens[:at])]
    edges = [-1, *bars, len(tokens)]
    return [tokens[edges[i] + 1 : edges[i + 1]] for i in range(len(edges) - 1)]


def _joined(arguments: Sequence[Argument]) -> str:
    return "_".join(dict.fromkeys((one.token or one.name).lower() for one in arguments))


def _number_keys(
    arguments: tuple[Argument, ...], key_specs: int, used: int
) -> tuple[tuple[Argument, ...], int]:
    """Give key arguments the index of their specification, in order; without any, none is a key."""
    made: list[Argument] = []
    for argument in arguments:
        inner, used_after = _number_keys(argument.arguments, key_specs, used)
        changed = replace(argument, arguments=inner)
        if argument.kind == "key" and key_specs:
            changed = replace(changed, key_spec=min(used, key_specs - 1))
            used_after = used + 1
        elif argument.kind == "key":
            changed = replace(changed, kind="string")
        used = used_after
        made.append(changed)
    return tuple(made), used
