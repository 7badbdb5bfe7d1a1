"""The documents promise commands and files that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT

DOCUMENTS = [
    path
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    if path.exists()
]


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))


def make_targets_in(text: str) -> set[str]:
    """Return the targets of the `make x` commands in code spans and code blocks of Markdown."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return {
        target for span in code for target in re.findall(r"(?:^|[`$;&\s])make ([a-z][a-z-]*)", span)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_commands_exist(document: Path) -> None:
    """Every `make x` that a document shows is a target of the Makefile."""
    shown = make_targets_in(document.read_text(encoding="utf-8"))

    assert shown - _targets() == set()


def test_make_commands_are_found_in_code() -> None:
    """Commands count where they are code: in spans and in blocks, not in prose."""
    text = (
        "We make tea.\n\n`make run` and:\n\n```sh\n$ make test PYTEST_ARGS=x\nmake no-such\n```\n"
    )

    assert {"run", "test", "no-such"} == make_targets_in(text)


def test_the_readme_shows_the_two_commands() -> None:
    """A newcomer needs `make run` and `make test`, and finds them in the README."""
    shown = make_targets_in((ROOT / "README.md").read_text(encoding="utf-8"))

    assert {"run", "test"} <= shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document names a file that exists."""
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text)

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.skipif(not (ROOT / "tools" / "generate.py").exists(), reason="nothing is generated")
def test_generated_files_are_fresh() -> None:
    """What is generated from the code is what the code would generate now."""
    result = subprocess.run(
        [sys.executable, "-m", "tools.generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (result.returncode, result.stderr if result.returncode else "")


def test_every_make_target_is_explained() -> None:
    """`make help` lists every target that is not an inner step."""
    listing = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    listed = set(re.findall(r"^  make ([a-z-]+)", listing.stdout, re.MULTILINE))

    assert {"build", "run", "test", "check", "asan", "tsan", "fuzz", "bench"} <= listed
    assert listed <= _targets()
