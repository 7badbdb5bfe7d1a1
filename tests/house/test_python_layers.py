"""Imports in ferrite_py point downwards.

cli -> server -> the packages in the middle -> single modules such as config, errors and _native.
The packages in the middle never import each other; client/ stands alone.
"""

import pytest

from tests.house.sources import imported_names, python_modules

STANDALONE = "client"
BASE, MIDDLE, SERVER, CLI = range(4)


def _top(name: str) -> str:
    """Return the part of `ferrite_py.part.more` that decides the layer, "" for ferrite_py."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def _level(top: str, packages: set[str]) -> int:
    """Return the level of a top-level part: folders are in the middle, single files the base."""
    if top in ("cli", "__main__"):
        return CLI
    if top == "server":
        return SERVER
    return MIDDLE if top in packages else BASE


def wrong(importer: str, imported: str, packages: set[str]) -> str | None:
    """Return what is wrong with an import inside ferrite_py, or None."""
    source, target = _top(importer), _top(imported)
    if target in ("", source):
        return None
    if STANDALONE in (source, target):
        return f"{importer} imports {imported}: {STANDALONE}/ stands alone"
    up, down = _level(source, packages), _level(target, packages)
    if down > up or (down == up == MIDDLE):
        return f"{importer} must not import {imported}"
    return None


def _packages() -> set[str]:
    modules = python_modules()
    return {_top(name) for name, file in modules.items() if file.name == "__init__.py"} - {""}


def test_imports_point_downwards() -> None:
    """No module imports a higher layer, and no package in the middle imports another."""
    packages = _packages()

    violations = {
        problem
        for name, file in python_modules().items()
        for imported in imported_names(file)
        if imported.split(".")[0] == "ferrite_py"
        if (problem := wrong(name, imported, packages))
    }

    assert sorted(violations) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("ferrite_py.config", "ferrite_py.server"),
        ("ferrite_py.server", "ferrite_py.cli"),
        ("ferrite_py.listen.streams", "ferrite_py.server"),
        ("ferrite_py.listen.streams", "ferrite_py.commands.registry"),
        ("ferrite_py.errors", "ferrite_py.listen"),
        ("ferrite_py.client.cache", "ferrite_py.config"),
    ],
)
def test_a_violation_is_seen(importer: str, imported: str) -> None:
    """The rule refuses imports that point upwards or sideways."""
    assert wrong(importer, imported, {"listen", "commands", "client"}) is not None


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("ferrite_py.cli", "ferrite_py.server"),
        ("ferrite_py.server", "ferrite_py.listen.streams"),
        ("ferrite_py.listen.streams", "ferrite_py.listen.accept"),
        ("ferrite_py.commands.registry", "ferrite_py._native"),
        ("ferrite_py.config", "ferrite_py.errors"),
    ],
)
def test_the_straight_way_is_allowed(importer: str, imported: str) -> None:
    """The rule allows imports that point downwards or stay inside a package."""
    assert wrong(importer, imported, {"listen", "commands", "client"}) is None
