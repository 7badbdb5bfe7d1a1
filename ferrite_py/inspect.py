"""`ferrite-py inspect`: what lies in the segment files of a data folder, and whether it is sound.

Files are only read. docs/format.md describes them.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ferrite_py._native import inspect_segment
from ferrite_py.errors import FerriteError
from ferrite_py.saved_index import read_saved

_NAME = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})\.seg")
_TRAILER_BYTES = 128
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYSPACES_SHOWN = 4
_OTHERS_SHOWN = 8
_BAR_CELLS = 30

Progress = Callable[[int, int], None]
"""Called with the bytes that are done, and the bytes in all."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: the file, the byte in it, and what."""

    file: str
    offset: int
    cause: str


@dataclass(frozen=True, slots=True)
class Trailer:
    """What a file says of itself. Bytes and Unix milliseconds; deadlines are None when none has."""

    sequence: int
    used: int
    records: int
    record_bytes: int
    record_bytes_max: int
    expires: int
    deadline_min: int | None
    deadline_max: int | None
    created_ms: int
    seed_check: int
    """The same in all files of one store."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file; number and generation are those of its name."""

    file: str
    number: int
    generation: int
    bytes: int
    trailer: Trailer | None
    """None when it is damaged."""
    keyspaces: dict[int, int]
    """Records by keyspace id, of the footer blocks that are sound."""
    records_sound: int
    """Records that were read and found sound, with those that were dead when the file was made."""
    damage: list[Damage]
    damage_count: int
    """More than len(damage) when there was too much to keep."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one folder."""

    folder: Path
    is_verified: bool
    is_in_use: bool
    segments: list[Segment]
    others: list[str]
    """Names in the folder that are not those of segment files."""
    live: dict[tuple[int, int], int] | None
    """Bytes that were alive at the last clean stop, by number and generation; None without one."""
    saved_damage: str
    """What is wrong with what the clean stop left; or empty."""

    @property
    def damage_count(self) -> int:
        """How many things are wrong."""
        return sum(segment.damage_count for segment in self.segments) + bool(self.saved_damage)

    def live_of(self, segment: Segment) -> int | None:
        """Bytes of it that were alive; None when that is not known."""
        return None if self.live is None else self.live.get((segment.number, segment.generation), 0)


def run(data_dir: Path, *, verify: bool, as_json: bool) -> int:
    """Inspect a data folder and print the report; the exit status, 1 when anything is damaged."""
    report = examine(data_dir, verify=verify, progress=_bar if sys.stderr.isatty() else None)
    lines = [json.dumps(as_data(report), indent=2)] if as_json else render(report)
    for line in lines:
        print(line)
    return 1 if report.damage_count else 0


def examine(data_dir: Path, *, verify: bool, progress: Progress | None = None) -> Report:
    """Read the segment files of `data_dir`/log, or of `data_dir` itself when it has no such folder.

    `verify` reads every record too. Files that disappear meanwhile, because a server runs, are
    passed over. Raises FerriteError when the folder or a file cannot be opened.
    """
    folder = data_dir / "log" if (data_dir / "log").is_dir() else data_dir
    try:
        names = sorted(path.name for path in folder.iterdir())
        files = {name: size for name in names if (size := _size(folder, name)) is not None}
        if not files and folder == data_dir and not _is_log(folder):
            raise FerriteError(
                f"{data_dir}: no data folder: it holds neither log nor segment files"
            )
        total, done = sum(files.values()), 0
        segments: list[Segment] = []
        live, saved_damage = _saved(data_dir) if folder != data_dir else (None, "")
        for name, size in files.items():
            segments.extend(_segment(folder, name, verify))
            done += size
            if progress is not None:
                progress(done, total)
    except OSError as error:
        raise FerriteError(f"{error.filename or folder}: {error.strerror}") from error
    others = [name for name in names if not _NAME.fullmatch(name)]
    in_use = _is_locked(data_dir / "LOCK")
    return Report(folder, verify, in_use, segments, others, live, saved_damage)


def _is_log(folder: Path) -> bool:
    """Whether it is the folder of segment files in a data folder, which has a lock beside it."""
    return folder.resolve().name == "log" and (folder.resolve().parent / "LOCK").exists()


def _saved(data_dir: Path) -> tuple[dict[tuple[int, int], int] | None, str]:
    """What of each segment was alive at the clean stop, or why that cannot be told."""
    try:
        saved = read_saved(data_dir)
    except FerriteError as error:
        return None, str(error)
    except OSError as error:
        return None, f"{error.filename}: {error.strerror}"
    return None if saved is None else {key: row.live for key, row in saved.items()}, ""


def _size(folder: Path, name: str) -> int | None:
    """The size of a segment file; None for other files, and for one that is no longer there."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return (folder / name).stat().st_size
    except FileNotFoundError:
        return None


def _segment(folder: Path, name: str, verify: bool) -> Iterator[Segment]:
    """Yield what is found in one file, or nothing if it is no longer there."""
    path = folder / name
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        found = inspect_segment(fd, size, verify)
        # What was read here must not push out of memory what a server on this machine needs.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    number, generation = (int(part, 16) for part in name.removesuffix(".seg").split("-"))
    damage = [Damage(str(path), at, _cause(text, code)) for at, text, code in found["damage"]]
    count, head = found["damage_count"], found["head"]
    if head is not None and (head["number"], head["generation"]) != (number, generation):
        told = f"{head['number']:08x}-{head['generation']:08x}"
        text = f"trailer: it is that of {told}, not of this file"
        damage.append(Damage(str(path), size - _TRAILER_BYTES, text))
        count += 1
    yield Segment(
        file=str(path),
        number=number,
        generation=generation,
        bytes=size,
        trailer=_trailer(head),
        keyspaces=found["keyspaces"],
        records_sound=found["records_sound"],
        damage=damage,
        damage_count=count,
    )


def _cause(text: str, code: int) -> str:
    return f"{text}: {os.strerror(code)}" if code else text


def _trailer(head: dict[str, Any] | None) -> Trailer | None:
    if head is None:
        return None
    has_deadlines = head["expires"] > 0
    values = {name: head[name] for name in Trailer.__slots__}
    if not has_deadlines:
        values |= {"deadline_min": None, "deadline_max": None}
    return Trailer(**values)


def _is_locked(path: Path) -> bool:
    """Whether some process holds a lock on a file. Asking does not take it, not even for a moment.

    A try would: a server that starts in that moment would find its folder in use.
    """
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(line.split()[1] == "FLOCK" and f":{inode} " in line for line in locks)


# Output


def render(report: Report) -> Iterator[str]:
    """Yield the lines of the report: a row for each file, the totals, then each damage."""
    yield str(report.folder)
    if report.is_in_use:
        yield "a server uses this folder: a file that it is writing may look damaged"
    heads = ("number", "generation", "sequence", "bytes", "records", "keyspaces", "deadlines (UTC)")
    rows = [heads, *(_row(segment) for segment in report.segments)]
    if report.live is not None:
        shares = ("live", *(_share(report, segment) for segment in report.segments))
        rows = [(*row[:5], share, *row[5:]) for row, share in zip(rows, shares, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if report.segments:
        for row in rows:
            left = [f"{cell:>{width}}" for cell, width in zip(row[:-2], widths, strict=False)]
            yield "  ".join([*left, f"{row[-2]:<{widths[-2]}}", row[-1]]).rstrip()
    yield from _summary(report)
    if report.saved_damage:
        yield f"DAMAGE {report.saved_damage}"
    for segment in report.segments:
        for damage in segment.damage:
            yield f"DAMAGE {damage.file} at {damage.offset}: {damage.cause}"
        if segment.damage_count > len(segment.damage):
            yield f"DAMAGE {segment.file}: {segment.damage_count - len(segment.damage)} more"


def _row(segment: Segment) -> tuple[str, ...]:
    names = f"{segment.number:08x}", f"{segment.generation:08x}"
    trailer = segment.trailer
    if trailer is None:
        return (*names, "?", str(segment.bytes), "?", "?", "trailer damaged")
    deadlines = "none"
    if trailer.deadline_min is not None and trailer.deadline_max is not None:
        first, last = _time(trailer.deadline_min), _time(trailer.deadline_max)
        deadlines = f"{first} to {last}, {trailer.expires} records"
    numbers = str(trailer.sequence), str(segment.bytes), str(trailer.records)
    return (*names, *numbers, _keyspaces(segment.keyspaces), deadlines)


def _share(report: Report, segment: Segment) -> str:
    """How much of the segment was alive at the clean stop, in percent."""
    live = report.live_of(segment)
    if live is None or segment.trailer is None:
        return "?"
    return f"{100 * live // segment.trailer.used}%"


def _keyspaces(records: dict[int, int]) -> str:
    shown = ", ".join(str(number) for number in sorted(records)[:_KEYSPACES_SHOWN])
    more = len(records) - _KEYSPACES_SHOWN
    return f"{shown}, {more} more" if more > 0 else shown or "none"


def _time(ms: int) -> str:
    """A time in UTC; milliseconds that no calendar reaches as they are."""
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return f"{ms} ms"


def _summary(report: Report) -> Iterator[str]:
    totals = totals_of(report)
    yield (
        f"{totals['segments']} segments, {totals['bytes']} bytes, {totals['records']} records of "
        f"{totals['record_bytes']} bytes, {totals['expires']} with a deadline, "
        f"{totals['keyspaces']} keyspaces"
    )
    if report.live is not None:
        share = 100 * totals["live"] // max(1, totals["used"])
        yield f"at the last clean stop {totals['live']} bytes were alive, {share}% of the segments"
    if report.others:
        more = ", ..." if len(report.others) > _OTHERS_SHOWN else ""
        yield f"other files: {', '.join(report.others[:_OTHERS_SHOWN])}{more}"
    if totals["stores"] > 1:
        yield f"the files are of {totals['stores']} stores with different seeds"
    if report.is_verified:
        yield f"{totals['records_sound']} records read and found sound, dead ones included"
    else:
        yield "trailers and footers were read, records were not (--verify reads them)"
    yield f"damage: {report.damage_count}" if report.damage_count else "no damage"


def totals_of(report: Report) -> dict[str, int]:
    """The sums over all files whose trailer is sound; `segments` and `bytes` are of all files.

    `live` is 0 when it is not known.
    """
    trailers = [segment.trailer for segment in report.segments if segment.trailer is not None]
    return {
        "segments": len(report.segments),
        "bytes": sum(segment.bytes for segment in report.segments),
        "records": sum(trailer.records for trailer in trailers),
        "record_bytes": sum(trailer.record_bytes for trailer in trailers),
        "used": sum(trailer.used for trailer in trailers),
        "live": sum(report.live_of(segment) or 0 for segment in report.segments),
        "expires": sum(trailer.expires for trailer in trailers),
        "keyspaces": len({number for segment in report.segments for number in segment.keyspaces}),
        "stores": len({trailer.seed_check for trailer in trailers}),
        "records_sound": sum(segment.records_sound for segment in report.segments),
        "damage": report.damage_count,
    }


def as_data(report: Report) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "folder": str(report.folder),
        "verified": report.is_verified,
        "in_use": report.is_in_use,
        "saved": report.live is not None,
        "segments": [
            asdict(segment) | {"live": report.live_of(segment)} for segment in report.segments
        ],
        "others": report.others,
        "totals": totals_of(report),
    }


def _bar(done: int, total: int) -> None:
    """Draw the share that is done on the terminal's line, and clear the line at the end."""
    cells = done * _BAR_CELLS // total if total else _BAR_CELLS
    bar = f"\r[{'#' * cells:<{_BAR_CELLS}}] {done >> 20} of {total >> 20} MiB"
    end = "\r\x1b[K" if done >= total else ""
    print(bar + end, end="", file=sys.stderr, flush=True)
