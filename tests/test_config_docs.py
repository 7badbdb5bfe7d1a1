"""What is generated from the settings: the example file, the reference page, and what is shown."""

from pathlib import Path

import pytest

from ferrite_py.config import Config, Sources, changed_names
from ferrite_py.config_docs import render_example, render_reference, render_show
from ferrite_py.config_redis import CONSTANTS
from tests.support.settings import ALL, load_text
from tools import generate


def test_generated_files_are_fresh() -> None:
    """The example file and the reference say what the fields say."""
    assert generate.stale(generate.ROOT) == []


def test_generator_checks_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check names stale files and writes nothing; without it they are written."""
    assert generate.main(["--check"], tmp_path) == 1
    assert "ferrite.toml.example is stale" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0


def test_example_loads_as_the_defaults(tmp_path: Path) -> None:
    """The example loads as it is, and with every key uncommented, as the defaults."""
    example_text = render_example()
    lines = example_text.splitlines()
    keys = [line[1:] if line.startswith("#") and line[1:2].isalpha() else line for line in lines]

    assert load_text(tmp_path, example_text) == Config()
    assert load_text(tmp_path, "\n".join(keys)) == Config()
    assert sum(before != after for before, after in zip(lines, keys, strict=True)) == len(ALL)


def test_reference_names_everything() -> None:
    """The reference page has a row for each setting and each constant parameter."""
    page = render_reference()

    for setting in ALL:
        assert f"| `{setting.key}` | " in page
        assert f"`{setting.environment}`" in page
        assert setting.meaning.endswith(".")
    for name in CONSTANTS:
        assert f"| `{name}` | " in page


def test_show_loads_again_and_hides_secrets(tmp_path: Path) -> None:
    """What is shown can be loaded, names what set a value, and does not show a password."""
    loaded = Sources(None, {"FERRITE_SERVER_REQUIREPASS": "secret"}, {"server.hz": "20"}).load()

    text = render_show(loaded)

    assert "secret" not in text
    assert "hz = 20  # command line\n" in text
    shown = load_text(tmp_path, text)
    assert changed_names(shown, loaded.config) == {"server.requirepass"}
