"""Write the files that follow from the sources, or check that they are fresh.

python -m tools.generate            write them
python -m tools.generate --check    name the stale ones, and exit with 1 if there are any
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ferrite_py.config_docs import render_example, render_reference
from tools.telemetry_docs import render_telemetry

ROOT = Path(__file__).resolve().parents[1]
GENERATED: dict[str, Callable[[], str]] = {
    "ferrite.toml.example": render_example,
    "docs/configuration.md": render_reference,
    "docs/telemetry.md": render_telemetry,
}
"""Each generated file, from the repository's root, and what makes its text."""


def stale(root: Path) -> list[str]:
    """The generated files below `root` that are missing or differ from what their source gives."""
    return [
        name
        for name, render in GENERATED.items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != render()
    ]


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the stale files, or with --check only name them; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if stale")
    is_check = parser.parse_args(argv).check
    names = stale(root)
    for name in names:
        if is_check:
            print(f"{name} is stale; run `make generate`", file=sys.stderr)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(GENERATED[name](), encoding="utf-8")
            print(f"wrote {name}")
    return 1 if is_check and names else 0


if __name__ == "__main__":
    raise SystemExit(main())
