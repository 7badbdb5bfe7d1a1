"""Each module of the data plane has a test of its own."""

from pathlib import Path

import pytest

from tests.house.sources import C_LAYERS, NATIVE, ROOT, includes


def has_c_test(layer: str, module: str) -> bool:
    """Whether native/tests/<layer>/ tests a module.

    A test may carry the module's name, or the name of the file that a longer module began with
    (`index_grow.c` is covered by `test_index.c`), or include the module's header.
    """
    folder = NATIVE / "tests" / layer
    parts = module.split("_")
    names = ["_".join(parts[:end]) for end in range(len(parts), 0, -1)]
    if any((folder / f"test_{name}.c").exists() for name in names):
        return True
    header = f"{layer}/{module}.h"
    return any(header == inc.name for test in folder.glob("test_*.c") for inc in includes(test))


def has_python_test(module: str) -> bool:
    """Whether a file below tests/ is named after a module whose door is in Python."""
    return any(True for _ in (ROOT / "tests").rglob(f"test_{module}*.py"))


def _modules(layer: str) -> list[Path]:
    return sorted((NATIVE / layer).glob("*.c"))


@pytest.mark.parametrize("layer", C_LAYERS[: C_LAYERS.index("command")])
def test_each_module_has_a_c_test(layer: str) -> None:
    """Below the commands, the narrowest door of a module is its header, so its test is in C."""
    untested = [str(file) for file in _modules(layer) if not has_c_test(layer, file.stem)]

    assert untested == []


@pytest.mark.parametrize("layer", C_LAYERS[C_LAYERS.index("command") : -1])
def test_each_command_family_and_loop_has_a_test(layer: str) -> None:
    """From the commands upwards the door may be bytes to a server: a C test or a Python test."""
    untested = [
        str(file)
        for file in _modules(layer)
        if not has_c_test(layer, file.stem) and not has_python_test(file.stem)
    ]

    assert untested == []
