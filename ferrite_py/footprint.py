"""What a server of a configuration takes before it has any data, measured by starting one.

`python -m ferrite_py.footprint` is the process that is measured. It opens an engine, in a folder of
its own when there is to be one, and loads what a server loads, but listens nowhere.
"""

import importlib
import json
import pickle
import subprocess
import sys
import tempfile
from dataclasses import replace

from ferrite_py.ceiling import Own, own_of
from ferrite_py.config import Config

_PATIENCE_SECONDS = 30.0


def footprint(config: Config) -> Own | None:
    """Measure it in a process of its own; None when that cannot be started."""
    try:
        done = subprocess.run(
            # Without -P modules of the current folder would be executed in place of Python's.
            [sys.executable, "-P", "-m", __name__],
            input=pickle.dumps(config),
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            check=True,
        )
        return Own(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def _main() -> None:
    config: Config = pickle.load(sys.stdin.buffer)
    server = importlib.import_module("ferrite_py.server")
    if config.metrics.enabled and config.metrics.port:
        importlib.import_module("ferrite_py.web.listener")
    if config.telemetry.enabled:
        importlib.import_module("ferrite_py.telemetry.export")
    with tempfile.TemporaryDirectory(prefix="ferrite-py-") as folder:
        data_dir = folder if config.storage.data_dir else ""
        storage = replace(config.storage, data_dir=data_dir)
        native = server.Server(server.engine_options(replace(config, storage=storage)))
        try:
            resident = server.process.resident_bytes()
            own = own_of(native.statistics(), native.tiers(), resident)
        finally:
            native.close()
    print(json.dumps({"accounted": own.accounted, "resident": own.resident}))


if __name__ == "__main__":
    _main()
