"""The packages that pyproject.toml asks for are the ones that the code imports."""

import re
import sys
import tomllib
from pathlib import Path

from tests.house.sources import ROOT, imported_names, python_modules

# Distribution names that differ from the module that they bring.
MODULE_OF = {
    "opentelemetry-sdk": "opentelemetry",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-instrumentation-redis": "opentelemetry",
    "opentelemetry-proto": "opentelemetry",
    "opentelemetry-exporter-otlp": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "grpcio": "grpc",
    "pyyaml": "yaml",
    "protobuf": "google",
}
CLIENT = "ferrite_py.client"
OWN = {"ferrite_py", "tests", "benchmarks", "tools"}


def _names(requirements: list[str]) -> set[str]:
    """Return the module names of requirement lines such as `uvloop>=0.19`."""
    found = set()
    for line in requirements:
        name = re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0]
        found.add(MODULE_OF.get(name, name.replace("-", "_")))
    return found


def _project() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"run": project["dependencies"], **project["optional-dependencies"]}


def _third_party(files: list[Path]) -> set[str]:
    tops = {name.split(".")[0] for file in files for name in imported_names(file)}
    return tops - OWN - set(sys.stdlib_module_names)


def _server() -> list[Path]:
    """Return the files of ferrite_py but client/, which applications use and has its own extra."""
    return [file for name, file in python_modules().items() if not name.startswith(CLIENT)]


def _client() -> list[Path]:
    return [file for name, file in python_modules().items() if name.startswith(CLIENT)]


def test_every_import_is_declared() -> None:
    """The server imports only what an installation brings."""
    imported = _third_party(_server())

    assert imported - _names(_project()["run"]) == set()


def test_the_client_imports_what_its_extra_brings() -> None:
    """An application that installs ferrite-py[client] has what the client imports, and no more."""
    assert _third_party(_client()) == _names(_project()["client"])


def test_every_dependency_is_imported() -> None:
    """An installation brings nothing that the server does not import."""
    imported = _third_party(_server())

    assert _names(_project()["run"]) - imported == set()


def test_tests_and_benchmarks_are_declared() -> None:
    """Tests and benchmarks import only what the run-time, test and bench packages bring."""
    project = _project()
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]

    declared = _names(project["run"] + project["test"] + project["bench"])

    assert _third_party(files) - declared == set()


def test_every_requirement_has_a_bound_and_a_reason() -> None:
    """Each requirement line names its lowest version and, in a comment, why it is needed."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = re.findall(r'^    "([A-Za-z0-9_.-]+(?:\[\w+\])?)([^"]*)",(.*)$', text, re.MULTILINE)
    requirements = {req for group in _project().values() for req in group}
    seen = [(name + bound, rest) for name, bound, rest in lines if name + bound in requirements]

    assert {text for text, _ in seen} == requirements
    assert [text for text, _ in seen if not re.search(r">=|==", text)] == []
    assert [text for text, rest in seen if not re.match(r"\s*# \S", rest)] == []
