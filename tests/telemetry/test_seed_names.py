"""Every name of Ferrite's documentation has a test that is marked with it, or is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.telemetry.seed_names import MISSING, NAMES, WITHOUT_VALUES, marks

ALL = [name for names in NAMES.values() for name in names]


@pytest.mark.parametrize("name", ALL)
def test_a_test_is_marked(name: str) -> None:
    """At least one, unless the name is missing; then none may say otherwise."""
    assert bool(marks().get(name)) is (name not in MISSING)


def test_marks_are_names() -> None:
    """No mark, and no remark, is about something that is not on the list."""
    told = {*marks(), *MISSING, *WITHOUT_VALUES}
    assert told - set(ALL) == set()
    assert len(set(ALL)) == len(ALL)


def test_marks_are_found(tmp_path: Path) -> None:
    """Those of test functions, with all their names; other functions do not count."""
    (tmp_path / "test_x.py").write_text(
        'import pytest\n\n@pytest.mark.seed("a", "b")\n@pytest.mark.other("c")\n'
        'def test_one():\n    pass\n\n@pytest.mark.seed("d")\ndef helper():\n    pass\n',
        encoding="utf-8",
    )

    assert marks(tmp_path) == {"a": ["test_x.py::test_one"], "b": ["test_x.py::test_one"]}
