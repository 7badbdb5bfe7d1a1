"""`python -m ferrite_py` is the same program as the console script `ferrite-py`."""

from ferrite_py.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
