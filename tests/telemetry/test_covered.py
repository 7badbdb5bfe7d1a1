"""The table of what is covered is true of the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.telemetry.covered import COVERED, Covered

TESTS = Path(__file__).resolve().parents[1]


def source_of(file: str, test: str) -> str:
    """The source of a test with its decorators, and of the tables that it names."""
    text = (TESTS / file).read_text(encoding="utf-8")
    nodes = ast.parse(text).body
    found = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == test]
    assert len(found) == 1, f"{file} has no test {test}"
    [function] = found
    segments = [ast.get_source_segment(text, node) or "" for node in function.decorator_list]
    segments.append(ast.get_source_segment(text, function) or "")
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    tables = [node for node in nodes if isinstance(node, ast.Assign) and _is_named(node, names)]
    segments += [ast.get_source_segment(text, node) or "" for node in tables]
    return "\n".join(segments)


def _is_named(node: ast.Assign, names: set[str]) -> bool:
    return any(isinstance(one, ast.Name) and one.id in names for one in node.targets)


@pytest.mark.parametrize("one", COVERED, ids=lambda one: one.name)
def test_the_test_names_it(one: Covered) -> None:
    """The test is there, and what it is said to cover stands in it."""
    assert one.name in source_of(one.file, one.test)


def test_names_are_covered_once() -> None:
    """No name is there twice for one purpose."""
    names = [(one.what, one.name) for one in COVERED]

    assert len(set(names)) == len(names)
