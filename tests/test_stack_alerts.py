"""Alerts of the stack fire for what they are about and for nothing else, as promtool finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.stack import DEPLOY, promtool

QUEUE_FULL = 'ferrite_telemetry_lost_total{instance="a",reason="queue_full"}'
RATE_LIMIT = 'ferrite_telemetry_lost_total{instance="a",reason="rate_limit"}'
LOGS_LOST = 'ferrite_telemetry_logs_lost_total{instance="a",reason="queue_full"}'
FAILURES = 'ferrite_telemetry_export_failures_total{instance="a",signal="logs"}'
REJECTED = 'ferrite_telemetry_export_rejected_total{instance="a",signal="metrics"}'
RARE_LOST = 'ferrite_telemetry_events_lost_total{instance="a",reason="queue_full"}'
RARE_CAPPED = 'ferrite_telemetry_events_lost_total{instance="a",reason="rate_limit"}'
USED = 'ferrite_memory_used{instance="a"}'
LIMIT = 'ferrite_memory_max{instance="a"}'
EVICTED = 'ferrite_keys_evicted_total{instance="a"}'
DISK_TIER = 'ferrite_hybridlog_tier_size{instance="a",tier="disk"}'
MUTABLE_TIER = 'ferrite_hybridlog_tier_size{instance="a",tier="mutable"}'
OOM = 'ferrite_errors_total{instance="a",code="OOM"}'
OTHER_ERRORS = 'ferrite_errors_total{instance="a",code="WRONGTYPE"}'
REFUSED = 'ferrite_storage_writers_refused_total{instance="a"}'
DAMAGED = 'ferrite_disk_damaged_segments{instance="a"}'


def alert(
    tmp_path: Path,
    name: str,
    series: dict[str, str],
    expected: dict[str, str] | None,
    minutes: int = 30,
) -> None:
    """Have promtool evaluate an alert after minutes of series; `expected`: what it is to say."""
    fired = []
    if expected is not None:
        labels = {key: value for key, value in expected.items() if key != "summary"}
        annotations = {"summary": expected["summary"]}
        fired = [{"exp_labels": labels, "exp_annotations": annotations}]
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": fired}],
    }
    rules_path = str(DEPLOY / "prometheus-rules.yml")
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [rules_path], "tests": [test]}))

    promtool("test", "rules", str(path))


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({QUEUE_FULL: "0+60x40"}, True),
        ({FAILURES: "0+60x40"}, True),
        ({LOGS_LOST: "0+60x40"}, True),
        ({REJECTED: "0+60x40"}, True),
        ({RARE_LOST: "0+60x40"}, True),
        ({RARE_CAPPED: "0+60x40"}, False),
        ({QUEUE_FULL: "0x40", FAILURES: "0+60x40"}, True),
        ({RATE_LIMIT: "0+60x40"}, False),
        ({QUEUE_FULL: "0x40", FAILURES: "0x40"}, False),
    ],
)
def test_the_alert_of_lost_telemetry(tmp_path: Path, series: dict[str, str], fires: bool) -> None:
    """It fires for either kind of loss, also where the other has no series; not for a cap."""
    summary = "Spans, metrics or logs of a do not arrive"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteLosesTelemetry", series, expected if fires else None)


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({EVICTED: "0x200", MUTABLE_TIER: "99x200"}, True),
        ({EVICTED: "0+600x200"}, False),
        ({EVICTED: "7x200"}, False),
        ({EVICTED: "9x50 0x150"}, False),
        ({EVICTED: "0x200", DISK_TIER: "0x200"}, False),
        ({USED: "90x200", EVICTED: "0x200"}, False),
    ],
    ids=["fixed", "evicts", "idle", "reset", "disk", "room"],
)
def test_the_alert_of_memory(tmp_path: Path, series: dict[str, str], fires: bool) -> None:
    """A cache that evicts is full as long as it lives, and well; one that does not will refuse."""
    given = {USED: "99x200", LIMIT: "100x200", **series}
    summary = "a uses 99% of its memory and evicts nothing"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteMemoryNearLimit", given, expected if fires else None, minutes=180)


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({OOM: "0+60x40"}, True),
        ({REFUSED: "0+60x40"}, True),
        ({OOM: "5x40", REFUSED: "5x40", OTHER_ERRORS: "0+60x40"}, False),
    ],
)
def test_the_alert_of_refused_writes(tmp_path: Path, series: dict[str, str], fires: bool) -> None:
    """It fires while writes are refused, for want of memory or of a disk."""
    summary = "a refuses writes: it has no memory or no disk for them"
    expected = {"instance": "a", "severity": "critical", "summary": summary}

    alert(tmp_path, "FerriteRefusesWrites", series, expected if fires else None)


@pytest.mark.parametrize(
    ("command", "fires"), [("GET", True), ("WAIT", False), ("DEBUG SLEEP", False), ("DEBUG", False)]
)
def test_the_alert_of_slow_commands(tmp_path: Path, command: str, fires: bool) -> None:
    """Not for commands that wait as long as their caller has said."""
    labels = f'instance="a",command="{command}"'
    series = {
        f'ferrite_command_duration_bucket{{{labels},le="{bound}"}}': values
        for bound, values in (("0.25", "0x40"), ("0.5", "0+60x40"), ("+Inf", "0+60x40"))
    }
    summary = "1 % of GET on a take longer than 497.5ms"
    expected = {"instance": "a", "command": "GET", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteSlow", series, expected if fires else None)


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({DAMAGED: "0x20 1x20"}, True),
        ({DAMAGED: "0x40", 'ferrite_disk_page_errors_total{instance="a"}': "0x20 2x20"}, True),
        ({'ferrite_compaction_disk_errors_total{instance="a"}': "0x20 1x20"}, True),
        ({'ferrite_disk_reads_failed_total{instance="a"}': "0x20 1x20"}, True),
        ({DAMAGED: "0x40", 'ferrite_disk_page_errors_total{instance="a"}': "2x40"}, False),
    ],
)
def test_the_alert_of_damage(tmp_path: Path, series: dict[str, str], fires: bool) -> None:
    """It fires for each way to meet it, and ends with it."""
    summary = "a cannot read all of its data folder; its log names the files"
    expected = {"instance": "a", "severity": "critical", "summary": summary}

    alert(tmp_path, "FerriteDataDamaged", series, expected if fires else None)


@pytest.mark.parametrize(
    ("aside", "started", "fires"),
    [
        ("1x120", "3600x120", True),
        ("0x120", "3600x120", False),
        ("1x120", "0x120", False),
        ("1x120", "0x79 4800x40", True),
        ("1x120", None, True),
    ],
    ids=["new", "clean", "old", "again", "unknown"],
)
def test_the_alert_of_an_unclean_start(
    tmp_path: Path, aside: str, started: str | None, fires: bool
) -> None:
    """It is there after such a start, also after the second in a row, and ends an hour later."""
    series = {'ferrite_recovery_set_aside{instance="a"}': aside}
    if started is not None:
        series['process_start_time_seconds{instance="a"}'] = started
    summary = "a was not stopped cleanly: what it held was set aside at the start"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteDataSetAside", series, expected if fires else None, minutes=90)


def test_the_alert_of_the_disk_says_its_state(tmp_path: Path) -> None:
    """One alert, with the state that the disk is in."""
    series = {
        f'ferrite_disk_state{{instance="a",state="{state}"}}': f"{int(state == 'full')}x40"
        for state in ("ok", "full", "failed")
    }
    summary = "The disk of a is full: it does not take what is written"
    expected = {"instance": "a", "state": "full", "severity": "critical", "summary": summary}

    alert(tmp_path, "FerriteDiskTrouble", series, expected)


@pytest.mark.parametrize(("values", "fires"), [("1x40", True), ("0x27 1x12", False)])
def test_the_alert_of_a_slow_disk(tmp_path: Path, values: str, fires: bool) -> None:
    """Writers that wait now and then are no alert."""
    series = {'ferrite_storage_flush_behind{instance="a"}': values}
    summary = "Writers of a wait for its disk more than half of the time"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteDiskBehind", series, expected if fires else None)
