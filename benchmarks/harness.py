"""What every benchmark shares: modes, the context it runs in, its outcome, its command line."""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from benchmarks import machine, proc, servers
from benchmarks.servers import ROOT, BenchmarkError, Kind

Mode = Literal["quick", "default", "full"]
Value = str | float | bool | None
Row = dict[str, Value]

DOCS = ROOT / "docs" / "benchmarks"


class Progress(Protocol):
    """Where a benchmark says how far it is."""

    def begin(self, name: str, steps: int) -> None:
        """Start counting `steps` steps of benchmark `name`."""

    def step(self, text: str) -> None:
        """One more step begins; `text` says which."""


class PlainProgress:
    """Progress as lines on standard error, for where there is no terminal."""

    def __init__(self) -> None:
        """Start before the first benchmark."""
        self._name, self._steps, self._done = "", 0, 0

    def begin(self, name: str, steps: int) -> None:
        """Start counting."""
        self._name, self._steps, self._done = name, steps, 0

    def step(self, text: str) -> None:
        """Print the step."""
        self._done += 1
        print(f"{self._name} {self._done}/{self._steps}: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Context:
    """What a benchmark is given: the servers, the cores, how thorough to be, where to report.

    Attributes:
        reference: redis-server, to which everything is compared.
        subject: ferrite-py, or what stands in for it.
        others: further stock servers that are installed.
        data_dir: where benchmarks that need a disk make their folders; None for the folder of
            temporary files.
        parts: of a benchmark that has parts, those to run; none for all.
        output: folder of data/, with what was found before.
    """

    mode: Mode
    reference: Kind
    subject: Kind
    others: tuple[Kind, ...]
    cores: proc.Cores
    progress: Progress
    data_dir: Path | None = None
    parts: tuple[str, ...] = ()
    output: Path = DOCS

    @property
    def rivals(self) -> tuple[Kind, Kind]:
        """The two servers of every comparison, the reference first."""
        return (self.reference, self.subject)

    def pick(self, quick: int, default: int, full: int) -> int:
        """Return the size that belongs to the mode."""
        return {"quick": quick, "default": default, "full": full}[self.mode]


@dataclass(frozen=True, slots=True)
class Claim:
    """A target of the project beside what was measured; `measured` is None when it could not be."""

    text: str
    measured: float | None
    bound: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the measured figure keeps the bound."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a benchmark found: every sample, a summary for the table, targets, remarks."""

    name: str
    parameters: Row
    samples: list[Row]
    summary: list[Row]
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Benchmark = Callable[[Context], Outcome]


def document(outcome: Outcome, context: Context) -> dict[str, object]:
    """Return the outcome as what is kept in docs/benchmarks/data/."""
    kinds = (*context.rivals, *context.others)
    claims = [{**asdict(claim), "met": claim.met} for claim in outcome.claims]
    return {
        "benchmark": outcome.name,
        "mode": context.mode,
        "taken_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine.facts(),
        "versions": {kind.name: kind.version for kind in kinds},
        "parameters": outcome.parameters,
        "summary": outcome.summary,
        "claims": claims,
        "notes": outcome.notes,
        "samples": outcome.samples,
    }


def save(outcome: Outcome, context: Context, folder: Path) -> Path:
    """Write the outcome's document to `folder`/data/<name>.json, one sample a line."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    content = document(outcome, context)
    samples = content.pop("samples")
    assert isinstance(samples, list)
    head = json.dumps(content, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n  ".join(json.dumps(sample, ensure_ascii=False) for sample in samples)
    path = data / f"{outcome.name}.json"
    path.write_text(f'{head},\n "samples": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark command takes."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="quick", dest="mode")
    size.add_argument("--full", action="store_const", const="full", dest="mode")
    parser.set_defaults(mode="default")
    parser.add_argument(
        "--subject-command",
        metavar="COMMAND",
        help="another server in place of ferrite-py, such as 'redis-server --port {port}'",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=DOCS,
        help="folder of table, plots and data/ (docs/benchmarks)",
    )
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        help="of a benchmark that has parts (telemetry) run this one, and keep what there is of "
        "the others (may be repeated)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="folder on a disk for what benchmarks write there and remove again (that of "
        "temporary files)",
    )


def make_context(arguments: argparse.Namespace, progress: Progress) -> Context:
    """Find the servers, raise the limit of open files, choose the cores.

    Raises:
        BenchmarkError: the reference or the subject is missing.
    """
    proc.raise_file_limit()
    command: str | None = arguments.subject_command
    stock = servers.stock_servers()
    return Context(
        mode=arguments.mode,
        reference=stock[0],
        subject=servers.stand_in(command) if command else servers.ferrite(),
        others=tuple(stock[1:]),
        cores=proc.choose_cores(),
        progress=progress,
        data_dir=arguments.data_dir,
        parts=tuple(arguments.part),
        output=arguments.output,
    )


def main(benchmark: Benchmark, argv: Sequence[str] | None = None) -> int:
    """Run one benchmark from the command line: data, plots and page are written again."""
    from benchmarks import page

    parser = argparse.ArgumentParser(description=sys.modules[benchmark.__module__].__doc__)
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped either way
    try:
        context = make_context(arguments, PlainProgress())
        outcome = benchmark(context)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    save(outcome, context, arguments.output)
    page.write(arguments.output)
    for claim in outcome.claims:
        print(page.claim_line(claim.text, claim.measured, claim.bound, claim.unit, claim.met))
    return 0
