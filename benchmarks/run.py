"""All benchmarks, one after the other, with a progress bar.

Data, tables and plots go to docs/benchmarks/. --quick takes about 9 minutes, the default about 35,
--full as long as the sizes of the targets need.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    churn,
    expiry,
    harness,
    hostile,
    latency,
    memory,
    page,
    profile,
    readcache,
    spin,
    startup,
    telemetry,
    throughput,
    tiers,
)
from benchmarks.harness import Benchmark, PlainProgress
from benchmarks.servers import BenchmarkError, SkippedError

BENCHMARKS: dict[str, Benchmark] = {
    "startup": startup.run,
    "throughput": throughput.run,
    "profile": profile.run,
    "memory": memory.run,
    "latency": latency.run,
    "spin": spin.run,
    "churn": churn.run,
    "expiry": expiry.run,
    "hostile": hostile.run,
    "readcache": readcache.run,
    "tiers": tiers.run,
    "telemetry": telemetry.run,
}


class BarProgress:
    """Progress as two bars: all benchmarks, and the steps of the present one."""

    def __init__(self, bars: Progress, benchmarks: int) -> None:
        """Draw into `bars`, which the caller starts and stops."""
        self._bars = bars
        self._begun = 0
        self._steps = 0
        self._all = bars.add_task("all", total=benchmarks, text="")
        self._one = bars.add_task("", total=1, text="")

    def begin(self, name: str, steps: int) -> None:
        """Show benchmark `name`."""
        self._bars.update(self._all, completed=self._begun)
        self._bars.reset(self._one, description=name, total=steps, text="")
        self._begun += 1
        self._steps = 0

    def step(self, text: str) -> None:
        """Show that the step before is done, and which one runs."""
        self._bars.update(self._one, completed=self._steps, text=text)
        self._steps += 1

    def finish(self) -> None:
        """Fill the bars."""
        self._bars.update(self._all, completed=self._begun)
        self._bars.update(self._one, completed=self._steps, text="")


def _run_all(
    names: Sequence[str],
    arguments: argparse.Namespace,
    progress: harness.Progress,
    console: Console,
) -> int:
    """Run the benchmarks; one that fails is reported and does not stop the others."""
    context = harness.make_context(arguments, progress)
    failed = 0
    for name in names:
        try:
            outcome = BENCHMARKS[name](context)
        except SkippedError as error:
            console.print(f"{name} skipped: {error}", markup=False, soft_wrap=True)
            continue
        except BenchmarkError as error:
            failed += 1
            console.print(f"{name} failed: {error}", style="red", markup=False, soft_wrap=True)
            continue
        harness.save(outcome, context, arguments.output)
        for claim in outcome.claims:
            line = page.claim_line(claim.text, claim.measured, claim.bound, claim.unit, claim.met)
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    page.write(arguments.output)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    harness.add_arguments(parser)
    parser.add_argument(
        "--only", action="append", choices=list(BENCHMARKS), help="run this one (may be repeated)"
    )
    arguments = parser.parse_args(argv)
    names = [name for name in BENCHMARKS if name in (arguments.only or BENCHMARKS)]
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped either way
    try:
        if not console.is_terminal:
            return _run_all(names, arguments, PlainProgress(), console)
        columns = (
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, console=console) as bars:
            progress = BarProgress(bars, len(names))
            status = _run_all(names, arguments, progress, console)
            progress.finish()
            return status
    except BenchmarkError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what had finished is saved")
        return 130


if __name__ == "__main__":
    sys.exit(main())
