"""What the compiled library says about itself: no mutable globals, and names with our prefix.

Looks at build/test/libferrite.a, which `make test-c` builds (of the test build, because objects of
link-time optimisation hold no symbols to look at).
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.house.sources import C_LAYERS, NATIVE, ROOT, c_files

LIBRARY = ROOT / "build" / "test" / "libferrite.a"

# Data that may change while the program runs, each symbol with the reason why it must.
MUTABLE_ALLOWED: dict[str, str] = {
    "registry": "store/guard.c: a signal handler is given an address and no object to look in",
}


@dataclass(frozen=True, slots=True)
class Symbol:
    """A defined symbol: its object file, name, nm class (upper case is exported) and section."""

    object_file: str
    name: str
    kind: str
    section: str

    @property
    def mutable(self) -> bool:
        """Whether it lives where the program can write; .data.rel.ro is sealed after loading."""
        if self.section.startswith(".data.rel.ro"):
            return False
        return self.section.startswith((".data", ".bss", ".tdata", ".tbss", "*COM*"))


def parse_nm(text: str) -> Iterator[Symbol]:
    """Yield the defined symbols of `nm --format=sysv` output."""
    object_file = ""
    for line in text.splitlines():
        if heading := re.match(r"Symbols from .*?\[([^\]]+)\]|Symbols from (\S+):", line):
            object_file = heading[1] or heading[2]
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 7 and fields[0] != "Name" and fields[6] != "*UND*":
            yield Symbol(object_file, fields[0], fields[2], fields[6])


@pytest.fixture(scope="module")
def symbols() -> list[Symbol]:
    """The symbols that the library defines."""
    if not c_files(*C_LAYERS[:-1]):
        pytest.skip("no layer holds code")
    assert LIBRARY.exists(), f"{LIBRARY} is missing: run `make test-c`"
    listing = subprocess.run(
        ["nm", "--format=sysv", "--defined-only", str(LIBRARY)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = list(parse_nm(listing.stdout))
    assert found, "nm printed nothing that could be read"
    return found


def test_no_mutable_globals(symbols: list[Symbol]) -> None:
    """All state hangs off an object that somebody owns; tables are const."""
    mutable = [f"{s.object_file}: {s.name} in {s.section}" for s in symbols if s.mutable]

    assert [line for line in mutable if line.split()[1] not in MUTABLE_ALLOWED] == []


def test_exported_names_carry_the_prefix(symbols: list[Symbol]) -> None:
    """A name that other files can see is fe_<module>_<verb>, in small letters."""
    exported = {(s.object_file, s.name) for s in symbols if s.kind.isupper()}

    assert sorted(e for e in exported if not re.fullmatch(r"fe_[a-z][a-z0-9_]*", e[1])) == []


def test_exported_names_are_declared_in_a_header(symbols: list[Symbol]) -> None:
    """What other files can see is part of a contract; all else is static."""
    headers = [file for file in c_files(*C_LAYERS) if file.suffix != ".c"]
    declared = {
        word
        for header in headers
        for word in re.findall(r"\w+", header.read_text(encoding="utf-8"))
    }

    # families.h declares its tables through a list: FAMILY(name) is fe_family_<name>.
    families = (NATIVE / "command" / "families.h").read_text(encoding="utf-8")
    declared |= {f"fe_family_{name}" for name in re.findall(r"FAMILY\((\w+)\)", families)}

    exported = {s.name for s in symbols if s.kind.isupper()}

    assert sorted(exported - declared) == []


def test_a_mutable_symbol_is_seen() -> None:
    """Written, zeroed and thread-local data are mutable; constants and sealed tables are not."""
    text = """
Symbols from libferrite.a[example.c.o]:

Name                  Value           Class        Type         Size             Line  Section

counter             |0000000000000000| b |OBJECT|0000000000000004| |.bss.counter
table               |0000000000000000| d |OBJECT|0000000000000010| |.data.rel.ro.local
fe_example_limit    |0000000000000000| R |OBJECT|0000000000000004| |.rodata
cache               |0000000000000000| b |TLS|0000000000000004| |.tbss
start               |0000000000000000| D |OBJECT|0000000000000004| |.data
malloc              |                | U |NOTYPE|                | |*UND*
"""

    found = list(parse_nm(text))

    assert {"counter", "cache", "start"} == {symbol.name for symbol in found if symbol.mutable}
    assert {"example.c.o"} == {symbol.object_file for symbol in found}
    assert "malloc" not in {symbol.name for symbol in found}


def test_few_files_start_threads() -> None:
    """The engine's in one place; reactors; the pool that reads a disk."""
    allowed = {
        NATIVE / "engine" / "background.c",
        NATIVE / "net" / "reactor.c",
        NATIVE / "store" / "disk_threads.c",
    }

    starters = {
        file
        for file in c_files(*C_LAYERS)
        if re.search(r"\b(pthread_create|thrd_create)\b", file.read_text(encoding="utf-8"))
    }

    assert sorted(map(str, starters - allowed)) == []
