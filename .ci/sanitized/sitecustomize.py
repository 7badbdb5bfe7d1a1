"""Put the extension module named by SANITIZED_NATIVE in place of the installed one.

`.ci/sanitize` puts this folder on PYTHONPATH, so the test runner and every server that a test
starts load the sanitized module, however they are started.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class NativeFinder:
    """A meta path finder that knows one name."""

    @staticmethod
    def find_spec(
        name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the sanitized module's spec for `ferrite_py._native`, None for all other names."""
        if name != "ferrite_py._native":
            return None
        return spec_from_file_location(name, os.environ["SANITIZED_NATIVE"])


sys.meta_path.insert(0, NativeFinder)
