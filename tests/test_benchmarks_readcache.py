"""The simulation of the read cache: its models on traces short enough to be followed by hand.

A word of a trace is `w` (write) or `r` (read) and a letter, the key. Records are 64 bytes, so each
has a mark of its own, and segments 144: two records of the log, or two copies of 72.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="the bench extra is not installed")
pytest.importorskip("matplotlib", reason="the bench extra is not installed")

from benchmarks import readcache, traces  # noqa: E402
from benchmarks.servers import BenchmarkError  # noqa: E402

SEGMENT = 144
RECORD = 64
ONE_OF_FOUR = "mutable=25"  # of four segments: one of the log, two of MAIN and its spare
ALL_ON_DISK = "wA wB wC wD wE wF wG wH "  # but G and H


class Bench:
    """Replays words against one model."""

    def __init__(self, folder: Path) -> None:
        """Keep traces in `folder`."""
        self._path = folder / "trace"

    def run(
        self,
        words: str,
        options: str,
        segments: int = 4,
        *,
        size: int = RECORD,
        ttl: int = 0,
        warm: int = 0,
        extra: int = 0,
    ) -> dict[str, Any]:
        """Return the counts; memory is `segments` segments and `extra` bytes."""
        operations = np.zeros(len(words.split()), dtype=traces.OPERATION)
        for operation, word in zip(operations, words.split(), strict=True):
            operation["key"] = ord(word[1]) - ord("A")
            operation["size_and_kind"] = size + (traces.WRITE_BIT if word[0] == "w" else 0)
            operation["ttl"] = ttl
        operations.tofile(self._path)
        memory = segments * SEGMENT + extra
        (counts,) = readcache.simulate(self._path, memory, SEGMENT, warm, [f"x:{options}"])
        return counts


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give a bench."""
    return Bench(tmp_path)


def test_the_log_alone_reads_the_disk_every_time(bench: Bench) -> None:
    """A segment that leaves memory takes both its records along, and a read brings none back."""
    found = bench.run("wA wB wC wD wE rA rA rC", "mutable=100,admit=0", segments=2)

    assert (2, 1) == (found["disk_reads"], found["hits_mutable"])
    assert (2 * RECORD, 5 * RECORD) == (found["flash_bytes"], found["client_bytes"])


def test_fifo_admits_what_it_reads_and_never_writes_it(bench: Bench) -> None:
    """The copy at the tail answers the second read; sealed, it counts for nothing."""
    words = "wA wB wC wD wE rA rA wF"
    fifo = bench.run(words, "admit=4", segments=2)
    copy = bench.run(words, "admit=3", segments=2)

    assert 1 == fifo["disk_reads"] == copy["disk_reads"]
    assert 4 * RECORD == fifo["flash_bytes"] == copy["flash_bytes"]

    fifo = bench.run(words + " wG wH wI", "admit=4", segments=2)
    copy = bench.run(words + " wG wH wI", "admit=3", segments=2)

    assert copy["flash_bytes"] == fifo["flash_bytes"] + RECORD


def test_copy_to_tail_moves_what_is_read_in_the_frozen_half(bench: Bench) -> None:
    """A, read while frozen, outlives its segment; B, unread, goes with it."""
    found = bench.run("wA wB wC rA wD rA rB", "mutable=50,frozen=50,admit=5", segments=2)

    assert (2, 1) == (found["hits_frozen"], found["disk_reads"])


def test_lru_drops_what_was_used_longest_ago(bench: Bench) -> None:
    """Of two records of room, the one read last stays; only changed records are written."""
    found = bench.run("wA wB rA wC rA rB rA rC", "lru=1", segments=0, extra=2 * RECORD)

    assert (3, 2) == (found["hits_main"], found["disk_reads"])
    assert 2 * RECORD == found["flash_bytes"]


def test_what_was_read_is_carried(bench: Bench) -> None:
    """A record that was read in the log is in the cache afterwards; its neighbour is on disk."""
    found = bench.run("wA wB rA wC rA rB", ONE_OF_FOUR + ",admit=0")

    assert (1, 1, 1) == (found["hits_mutable"], found["hits_main"], found["disk_reads"])
    assert found["carried_bytes"] == RECORD


def test_carrying_may_ask_for_more_reads(bench: Bench) -> None:
    """With carry=2 one read is too few; with carry=0 none is needed."""
    words = "wA wB rA wC rA rB"

    assert bench.run(words, ONE_OF_FOUR + ",admit=0,carry=2")["disk_reads"] == 2
    assert bench.run(words, ONE_OF_FOUR + ",admit=0,carry=0")["disk_reads"] == 0


def test_marks_are_shared_within_64_bytes(bench: Bench) -> None:
    """Of records of 32 bytes, the neighbour that begins in the same 64 bytes is carried as well."""
    found = bench.run("wA wB wC wD rA wE rB rC", ONE_OF_FOUR + ",admit=0", size=32)

    assert (1, 1) == (found["hits_main"], found["disk_reads"])


@pytest.mark.parametrize(("reinsert", "hits", "disk_reads"), [(1, 2, 6), (9, 1, 7)])
def test_clock_keeps_what_was_read_since(
    bench: Bench, reinsert: int, hits: int, disk_reads: int
) -> None:
    """The walk over A and B, for E's sake, puts A behind E again, which FIFO would not."""
    words = ALL_ON_DISK + "rA rB rC rD rA rE rA rB"
    found = bench.run(words, f"{ONE_OF_FOUR},reinsert={reinsert}")

    assert (hits, disk_reads) == (found["hits_main"], found["disk_reads"])


@pytest.mark.parametrize(("options", "disk_reads"), [("keep=1", 8), ("keep=0", 9), ("max=1", 9)])
def test_two_reads_survive_two_walks(bench: Bench, options: str, disk_reads: int) -> None:
    """Each walk takes one mark, if marks count so far and are not cleared."""
    words = ALL_ON_DISK + "rA rB rC rD rA rA rE rF rB rC rA"
    found = bench.run(words, f"{ONE_OF_FOUR},{options}")

    assert disk_reads == found["disk_reads"]


@pytest.mark.parametrize(("walk", "walked", "reinserted"), [(0, 3, 4), (1, 2, 2)])
def test_a_walk_can_be_bounded(bench: Bench, walk: int, walked: int, reinserted: int) -> None:
    """With everything read, the walk goes once around; bounded, it drops what comes next."""
    words = ALL_ON_DISK + "rA rB rC rD rA rB rC rD rE"
    found = bench.run(words, f"{ONE_OF_FOUR},walk={walk}")

    assert walked == found["walk_segments_max"]
    assert reinserted * RECORD == found["reinserted_bytes"]


def test_the_ghost_admits_the_second_read(bench: Bench) -> None:
    """The ghost has forgotten A, which left first; the first read reminds it, the second enters."""
    words = ALL_ON_DISK + "rA rA rA"
    found = bench.run(words, f"{ONE_OF_FOUR},admit=2,ghost=2", extra=16)

    assert (2, 1) == (found["disk_reads"], found["hits_main"])


def test_the_ghost_knows_what_left_the_log(bench: Bench) -> None:
    """F left last: its first read from disk enters the cache."""
    found = bench.run(ALL_ON_DISK + "rF rF", f"{ONE_OF_FOUR},admit=2,ghost=2", extra=16)

    assert (1, 1) == (found["disk_reads"], found["hits_main"])


def test_what_leaves_main_is_regretted(bench: Bench) -> None:
    """B, dropped unread from MAIN, enters it at its next read only if the ghost was told."""
    words = ALL_ON_DISK + "rA rA rB rB rC rC rD rD rE rE rB rB"
    options = f"{ONE_OF_FOUR},admit=2,ghost=3"

    assert bench.run(words, options, extra=24)["disk_reads"] == 12
    assert bench.run(words, options + ",regret=1", extra=24)["disk_reads"] == 11


def test_small_ring_keeps_strangers_from_main(bench: Bench) -> None:
    """Of A and B, read from disk, only A was read again before C pushed both out."""
    options = "mutable=20,small=25"
    found = bench.run(ALL_ON_DISK + "rA rB rA rC rA rB", options, segments=5)

    assert (1, 1, 4) == (found["hits_small"], found["hits_main"], found["disk_reads"])


def test_known_strangers_go_to_main_at_once(bench: Bench) -> None:
    """B comes back while the ghost knows it, and stays when D and E pass through the small ring."""
    options = "mutable=20,small=25,ghost=2"
    found = bench.run(ALL_ON_DISK + "rA rB rC rB rD rE rB", options, segments=5, extra=16)

    assert (1, 6) == (found["hits_main"], found["disk_reads"])


def test_updates_are_done_in_place_only_in_the_mutable_ring(bench: Bench) -> None:
    """The second write of A costs nothing; the third, when A is frozen, a record."""
    found = bench.run("wA wA wB wC wA wD", "mutable=50,frozen=50,admit=0", segments=2)

    assert found["updates_in_place"] == 1
    assert (6 * RECORD, 4 * RECORD) == (found["client_bytes"], found["flash_bytes"])


@pytest.mark.parametrize(("warm", "disk_reads"), [(0, 1), (1, 1), (2, 0)])
def test_an_update_of_a_cached_record_kills_the_copy(
    bench: Bench, warm: int, disk_reads: int
) -> None:
    """A's copy, which no one read, is dead after the update; only warm=2 remembers what it was."""
    words = "wA wB rA wC wA wD rA"
    found = bench.run(words, f"{ONE_OF_FOUR},admit=0,warm={warm}")

    assert disk_reads == found["disk_reads"]
    assert 1 - disk_reads == found["hits_main"]


def test_an_update_inherits_marks(bench: Bench) -> None:
    """A's copy was read, so warm=1 is enough to have its successor carried."""
    words = "wA wB rA wC rA wA wD rA"

    assert bench.run(words, f"{ONE_OF_FOUR},admit=0,warm=0")["disk_reads"] == 1
    assert bench.run(words, f"{ONE_OF_FOUR},admit=0,warm=1")["disk_reads"] == 0


@pytest.mark.parametrize("options", ["mutable=100", "lru=1"])
def test_expired_keys_are_missed_and_filled(bench: Bench, options: str) -> None:
    """A lives for two operations; the read of an expired key is no disk read but a write."""
    found = bench.run("wA rA rA rA", options, ttl=2)

    assert (3, 1, 0) == (found["reads"], found["misses"], found["disk_reads"])
    assert 2 * RECORD == found["client_bytes"]


def test_expired_records_are_not_carried(bench: Bench) -> None:
    """A was read, but its time is over when its segment leaves."""
    found = bench.run("wA wB rA wC", ONE_OF_FOUR, ttl=3)

    assert found["carried_bytes"] == 0


def test_the_beginning_is_not_counted(bench: Bench) -> None:
    """Only what follows the warm-up is in the counts, which it has prepared."""
    found = bench.run("wA rA rB rA", "mutable=100", warm=2)

    assert (2, 1, 1) == (found["reads"], found["misses"], found["hits_mutable"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("mutabel=3", "no such option"),
        ("mutable", "no value"),
        ("mutable=-1", "not a number"),
        ("mutable=100,ghost=1000", "the ghost is larger"),
        ("mutable=75", "no memory is left for the main ring"),
        ("mutable=0,frozen=50", "no memory is left for the mutable ring"),
    ],
)
def test_wrong_options_are_refused(bench: Bench, options: str, message: str) -> None:
    """A model that cannot be is an error that says why."""
    with pytest.raises(BenchmarkError, match=message):
        bench.run("wA", options)


def test_traces_repeat() -> None:
    """The same seed gives the same trace, another seed another."""
    first, again, other = (traces.make("shift", 0.01, seed) for seed in (1, 1, 2))

    assert np.array_equal(first.operations, again.operations)
    assert not np.array_equal(first.operations, other.operations)


@pytest.mark.parametrize(
    ("load", "writes"), [("zipf", 0.05), ("shift", 0.05), ("write-heavy", 0.3)]
)
def test_traces_have_their_writes(load: str, writes: float) -> None:
    """All keys are written first; afterwards the load's share are writes."""
    operations = traces.make(load, 0.02, 1).operations["size_and_kind"]
    written = operations >= traces.WRITE_BIT

    assert written[:10_000].all()
    assert writes == pytest.approx(written[10_000:].mean(), abs=0.005)


def test_most_keys_of_one_hit_come_once() -> None:
    """The load is what its name says, and zipf is not."""
    assert traces.make("one-hit", 0.02, 1).once_share > 0.6
    assert traces.make("zipf", 0.02, 1).once_share < 0.2


def test_scans_are_in_order() -> None:
    """In the middle of a scan every other operation reads the next key."""
    trace = traces.make("scan", 0.02, 1)
    begin = 10_000 + 100_000
    keys = trace.operations["key"][begin : begin + 2000 : 2].astype(int)

    assert np.array_equal(np.diff(keys), np.ones(999))


def test_sizes_are_those_of_the_papers() -> None:
    """ETC's mean value is scale / (1 - shape); Twitter's median is given."""
    random = np.random.default_rng(1)

    assert 329 + 36 == pytest.approx(traces.etc_sizes(random, 200_000).mean(), rel=0.03)
    assert 230 == pytest.approx(np.median(traces.twitter_sizes(random, 200_000)), rel=0.02)


def test_deadlines_have_their_quarters() -> None:
    """A quarter ends within 20 minutes of the week, a quarter after two days."""
    ttl = traces.deadlines(np.random.default_rng(1), 100_000, 1.0, traces.WEEK_MINUTES)

    assert 0.25 == pytest.approx((ttl < 20).mean(), abs=0.01)
    assert 0.25 == pytest.approx((ttl > 2 * 24 * 60).mean(), abs=0.01)


def test_ghost_is_a_multiple_of_the_records() -> None:
    """The variant's ghost becomes a number of keys."""
    assert readcache.Variant("g", "n", {"mutable": 20, "ghost": 0.5}).spec(100) == (
        "n:mutable=20,ghost=50"
    )


def test_variants_have_names_of_their_own() -> None:
    """Results are found by name, and the figures of all references exist."""
    names = [variant.name for variant in readcache.variants()]

    assert len(names) == len(set(names))
    assert {readcache.FIFO, readcache.COPIED, readcache.CHOSEN} <= set(names)


def test_the_chosen_one_wins_small_as_well(tmp_path: Path) -> None:
    """On a tenth of a small Zipf load the order of the models is that of the full run."""
    trace = traces.make("zipf", 0.05, readcache.SEED)
    path = tmp_path / "trace"
    trace.operations.tofile(path)
    chosen = [variant for variant in readcache.variants() if variant.group in ("known", "chosen")]
    counts = readcache.replay(path, trace, 10, chosen)
    reads = {variant.name: row["disk_reads"] for variant, row in zip(chosen, counts, strict=True)}

    assert reads[readcache.CHOSEN] < 0.9 * reads[readcache.COPIED]
    assert reads[readcache.COPIED] < reads[readcache.FIFO] < reads["never promote"]
