"""The folders of native/ are layers, and dependencies point downwards."""

import pytest

from tests.house.sources import C_LAYERS, NATIVE, Include, c_files, includes

# Folders of native/ that are not layers: what they hold may use every layer.
AROUND = {"tests", "fuzz", "bench", "cmake"}


def _wrong(include: Include, layer: str) -> str | None:
    """Return what is wrong with a quoted include of a file in `layer`, or None."""
    below = C_LAYERS[: C_LAYERS.index(layer) + 1]
    target, separator, _ = include.name.partition("/")
    if not separator:
        return f'{include.place}: "{include.name}" must be written from native/, with its folder'
    if target not in below:
        return f'{include.place}: {layer}/ must not include "{include.name}"'
    if not (NATIVE / include.name).exists():
        return f'{include.place}: "{include.name}" does not exist'
    return None


def test_every_folder_is_a_known_layer() -> None:
    """A folder of native/ is one of the layers, or one of the folders around them."""
    folders = {path.name for path in NATIVE.iterdir() if path.is_dir()}

    assert folders - set(C_LAYERS) - AROUND == set()


@pytest.mark.parametrize("layer", C_LAYERS)
def test_a_layer_includes_itself_and_earlier_ones(layer: str) -> None:
    """A file includes only headers of its own folder or earlier ones, by the path from native/."""
    quoted = [inc for file in c_files(layer) for inc in includes(file) if inc.quoted]

    assert [wrong for inc in quoted if (wrong := _wrong(inc, layer))] == []


def test_a_violation_is_seen() -> None:
    """An include that points upwards, has no folder, or has no file is reported."""
    file = NATIVE / "base" / "example.c"

    assert _wrong(Include(file, "store/record.h", quoted=True), "base") is not None
    assert _wrong(Include(file, "buf.h", quoted=True), "base") is not None
    assert _wrong(Include(file, "base/no_such_file.h", quoted=True), "base") is not None
    assert _wrong(Include(file, "base/buf.h", quoted=True), "base") is None


def test_only_the_python_layer_includes_python() -> None:
    """Nothing below native/python/ knows of CPython."""
    offenders = [
        inc.place
        for file in c_files(*C_LAYERS[:-1], *AROUND)
        for inc in includes(file)
        if inc.name.lower().endswith("python.h") or inc.name.startswith("cpython/")
    ]

    assert offenders == []


def test_own_headers_are_quoted() -> None:
    """Our headers are included with quotes, so that the direction test sees them."""
    offenders = [
        f"{inc.place}: <{inc.name}>"
        for file in c_files(*C_LAYERS)
        for inc in includes(file)
        if not inc.quoted and (NATIVE / inc.name).exists()
    ]

    assert offenders == []
