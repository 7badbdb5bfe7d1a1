"""Where the sources are, and which layer each file belongs to. Shared by the tests of the house."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
PACKAGE = ROOT / "ferrite_py"

# In the order of dependency: a file includes headers of its own layer or of an earlier one.
C_LAYERS = (
    "base",
    "event",
    "resp",
    "value",
    "store",
    "durable",
    "engine",
    "client",
    "command",
    "session",
    "net",
    "python",
)

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Include:
    """One `#include`: the file it stands in, the name it asks for, and whether it is quoted."""

    file: Path
    name: str
    quoted: bool

    @property
    def place(self) -> str:
        """The file's path below the repository's root, for messages."""
        return str(self.file.relative_to(ROOT))


def c_files(*folders: str) -> list[Path]:
    """Return the .c, .h and .def files below the given folders of native/, sorted."""
    found: list[Path] = []
    for folder in folders:
        for suffix in ("c", "h", "def"):
            found.extend((NATIVE / folder).rglob(f"*.{suffix}"))
    return sorted(found)


def includes(file: Path) -> Iterator[Include]:
    """Yield the includes of a C file."""
    for match in _INCLUDE.finditer(file.read_text(encoding="utf-8")):
        yield Include(file, match[2], match[1] == '"')


def python_modules() -> dict[str, Path]:
    """Return the modules of ferrite_py by dotted name; packages by their `__init__.py`."""
    modules = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        modules[".".join(parts)] = file
    return modules


def imported_names(file: Path) -> Iterator[str]:
    """Yield the absolute dotted names that a Python file imports, anywhere in it.

    `from a import b` yields both `a` and `a.b`, since `b` may be a module.
    """
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the layer; write the full name"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
