"""The settings of telemetry: tables, OpenTelemetry's variables, the other section name, flags."""

from pathlib import Path

import pytest

from ferrite_py import cli
from ferrite_py.config import Config, Sources, load, with_values
from ferrite_py.config_docs import render_show
from ferrite_py.config_rewrite import rewritten
from ferrite_py.errors import ConfigError

SEED = """
[telemetry]
enabled = true
endpoint = "http://localhost:4317"
protocol = "grpc"
service_name = "ferrite"
service_version = "1.0.0"
service_namespace = "production"
sample_rate = 1.0
traces_enabled = true
metrics_enabled = true
logs_enabled = true
metrics_export_interval = 60
batch_size = 512
batch_timeout_ms = 5000

[telemetry.resource_attributes]
"deployment.environment" = "production"
"host.name" = "ferrite-prod-01"
"service.instance.id" = "i-0abc123"

[telemetry.headers]
"Authorization" = "Bearer ${OTEL_AUTH_TOKEN}"
"""
TABLE_EXPECTED = (
    'expected a table of up to 64 texts, such as { name = "value" }, or as text "name=value"'
)
SECONDS_EXPECTED = (
    'expected a number of seconds, or text with a unit (ms, s, m, h) such as "60s", from 1ms to 24h'
)
TOKEN = {"OTEL_AUTH_TOKEN": "t0ken"}


def loaded(tmp_path: Path, text: str, environ: dict[str, str], **flags: str) -> Config:
    """Load a file of this text under an environment and flags of `[telemetry]`."""
    path = tmp_path / "ferrite.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ, {f"telemetry.{key}": text for key, text in flags.items()})


def error_of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    """The error that a file of this text gives, without the folder of the file."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, environ or {})
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "jaeger_remote"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json", "http/json"),
        ("OTEL_METRICS_EXPORTER", "otlp,promethes", "promethes"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "zipkin"),
        ("OTEL_PROPAGATORS", "tracecontext, bagage", "bagage"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "soon"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "2.5s", "2.5s"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "9" * 5000, "9" * 5000),
        ("OTEL_BLRP_SCHEDULE_DELAY", "0", "0"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "-1", "-1"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "1.5", "1.5"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "long", "long"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "-1"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1.5", "1.5"),
    ],
)
def test_words_of_opentelemetry_that_nobody_knows(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    text: str,
    wrong: str,
) -> None:
    """`config check` names the variable and what it may say; without telemetry nobody reads it."""
    path = tmp_path / "ferrite.toml"
    path.write_text('[telemetry]\nenabled = true\nendpoint = "http://h:1"\n', encoding="utf-8")
    monkeypatch.setenv(name, text)

    status = cli.main(["config", "check", "--config", str(path)])

    assert status == 1
    assert f'ferrite-py: {name}: "{wrong}": expected ' in capsys.readouterr().err
    assert cli.main(["config", "check", "--config", str(path), "--disable-observability"]) == 0


def test_all_words_that_are_wrong_are_told_with_their_place(tmp_path: Path) -> None:
    """A protocol in the file has its line; each variable has one of its own."""
    text = '[telemetry]\nenabled = true\nendpoint = "http://h:1"\n'
    environ = {"OTEL_TRACES_SAMPLER": "x", "OTEL_PROPAGATORS": "y"}

    both = error_of(tmp_path, text, environ)
    in_file = error_of(tmp_path, text + 'protocol = "http/json"\n')

    assert [line.split(":")[0] for line in both.splitlines()] == list(environ)
    assert in_file.startswith('ferrite.toml:4: telemetry.protocol = "http/json": expected one of')
    known = {"OTEL_TRACES_SAMPLER": "ALWAYS_ON", "OTEL_PROPAGATORS": "b3,tracecontext,none"}
    assert loaded(tmp_path, text, known).telemetry.enabled


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"OTEL_METRICS_EXPORTER": "otlp,prometheus", "OTEL_TRACES_EXPORTER": "zipkin,otlp"}, ""),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "ALWAYS_ON"}, ""),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"}, "logs_enabled = false\n"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "traces_enabled = false\n"),
        ({"OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "soon"}, "metrics_enabled = false\n"),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel, process,aws_ecs"}, ""),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "0"}, ""),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "-1"}, "traces_enabled = false\n"),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "0"}, "logs_enabled = false\n"),
        ({"OTEL_SPAN_LINK_COUNT_LIMIT": "x"}, "traces_enabled = false\n"),
        ({"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "x"}, "logs_enabled = false\n"),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0"}, ""),
        ({"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_SAMPLER_ARG": "abc"}, ""),
        ({"OTEL_BSP_EXPORT_TIMEOUT": " ", "OTEL_BLRP_MAX_QUEUE_SIZE": ""}, ""),
    ],
)
def test_variables_of_a_fleet_are_no_errors(
    tmp_path: Path, environ: dict[str, str], text: str
) -> None:
    """What is right by the specification, beside what counts here; what no signal reads."""
    config = loaded(
        tmp_path, f'[telemetry]\nenabled = true\nendpoint = "http://h:1"\n{text}', environ
    )

    assert config.telemetry.exemplars == "trace_based"
    assert len(config.telemetry.signals) == (2 if text else 3)


@pytest.mark.parametrize("section", ["telemetry", "otel"])
def test_the_full_reference_loads(tmp_path: Path, section: str) -> None:
    """Every key of the documented reference is known, under both names of the section."""
    config = loaded(tmp_path, SEED.replace("[telemetry", f"[{section}"), TOKEN).telemetry

    assert config.enabled
    assert config.endpoint == "http://localhost:4317"
    assert (config.protocol, config.service_name) == ("grpc", "ferrite")
    assert (config.service_version, config.service_namespace) == ("1.0.0", "production")
    assert (config.sample_rate, config.batch_size, config.batch_timeout_ms) == (1.0, 512, 5000)
    assert (config.traces_enabled, config.metrics_enabled, config.logs_enabled) == (True,) * 3
    assert config.metrics_export_interval == 60
    assert dict(config.resource_attributes) == {
        "deployment.environment": "production",
        "host.name": "ferrite-prod-01",
        "service.instance.id": "i-0abc123",
    }
    assert config.headers == (("authorization", "Bearer t0ken"),)


def test_unset_variable_is_an_error_with_its_line(tmp_path: Path) -> None:
    """A `${NAME}` that the environment lacks names the line, the key and the variable."""
    expected = (
        "ferrite.toml:23: telemetry.headers: Authorization needs the variable OTEL_AUTH_TOKEN,"
        " which is not set"
    )
    assert error_of(tmp_path, SEED) == expected


def test_tables_of_two_layers_meet(tmp_path: Path) -> None:
    """A variable adds to the table of the file and replaces what has the same name."""
    text = "[telemetry.resource_attributes]\nhost.name = 'a'\nzone = 7\nbig = true\n"

    config = loaded(tmp_path, text, {"OTEL_RESOURCE_ATTRIBUTES": "host.name=b%2Cc,team=x"})

    assert dict(config.telemetry.resource_attributes) == {
        "host.name": "b,c",
        "zone": "7",
        "big": "true",
        "team": "x",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[telemetry]\nheaders = ['a']",
            "2: telemetry.headers = (not shown): " + TABLE_EXPECTED,
        ),
        (
            "[telemetry]\nsample_rate = 1.5",
            "2: telemetry.sample_rate = 1.5: expected a number from 0 to 1",
        ),
        (
            "[telemetry]\nsample_rat = 1",
            '2: unknown key "sample_rat" in [telemetry]; did you mean "sample_rate"?',
        ),
        (
            "[otel]\nendpont = 'x'",
            '2: unknown key "endpont" in [telemetry]; did you mean "endpoint"?',
        ),
        (
            "[telemetry]\nbatch_size = 1\n[otel]\nbatch_size = 2",
            '4: "batch_size" is given twice; [otel] is another name of [telemetry]',
        ),
        (
            "[telemetry]\nprotocol = 'http'\nendpoint = 'localhost:4318'",
            '3: telemetry.endpoint: "localhost:4318" must begin with http:// or https://',
        ),
        (
            "[telemetry]\nmetrics_export_interval = 0",
            "2: telemetry.metrics_export_interval = 0: " + SECONDS_EXPECTED,
        ),
    ],
)
def test_errors_in_a_file(tmp_path: Path, text: str, expected: str) -> None:
    """An error names the file, the line, the key and what is expected."""
    assert error_of(tmp_path, text) == f"ferrite.toml:{expected}"


def test_tracing_without_an_endpoint_does_not_start(tmp_path: Path) -> None:
    """Traces that nobody receives are refused, whichever layer switched them on."""
    text = "[telemetry]\n\nenabled = true\n"
    message = "telemetry.enabled: tracing is enabled, and nothing says where traces go; set "

    assert error_of(tmp_path, text).startswith(f"ferrite.toml:3: {message}telemetry.endpoint")
    for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        assert loaded(tmp_path, text, {variable: "http://h:1"}).telemetry.enabled
    assert loaded(tmp_path, text, {"OTEL_TRACES_EXPORTER": "console"}).telemetry.traces_enabled
    assert not loaded(tmp_path, text, {"OTEL_TRACES_EXPORTER": "none"}).telemetry.traces_enabled
    for empty in ("", " "):  # as if it were not set
        with pytest.raises(ConfigError, match="nothing says where traces go"):
            loaded(tmp_path, text, {"OTEL_TRACES_EXPORTER": empty})
    assert not loaded(tmp_path, text, {"OTEL_SDK_DISABLED": "true"}).telemetry.enabled


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317", "endpoint", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "protocol", "http"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "protocol", "grpc"),
        ("OTEL_SERVICE_NAME", "cache", "service_name", "cache"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b", "resource_attributes", (("a", "b"),)),
        ("OTEL_EXPORTER_OTLP_HEADERS", "A=b%20c", "headers", (("a", "b c"),)),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "compression", "gzip"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1500", "metrics_export_interval", 1.5),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64", "batch_size", 64),
        ("OTEL_TRACES_SAMPLER_ARG", ".1", "sample_rate", 0.1),
        ("OTEL_TRACES_SAMPLER_ARG", "1e-5", "sample_rate", 1e-5),
        ("OTEL_BSP_SCHEDULE_DELAY", "200", "batch_timeout_ms", 200),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4096", "event_bus_queue_size", 4096),
        ("OTEL_METRICS_EXPORTER", "none", "metrics_enabled", False),
        ("OTEL_LOGS_EXPORTER", "none", "logs_enabled", False),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database", "semconv", "stable"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "database/dup", "semconv", "dup"),
    ],
)
def test_variables_of_opentelemetry(
    tmp_path: Path, variable: str, text: str, key: str, value: object
) -> None:
    """Each goes over the file, under our own variable, and under the flag."""
    plain = loaded(tmp_path, "", {variable: text})
    assert value == plain.value(f"telemetry.{key}")
    assert Sources(None, {variable: text}, {}).load().origins[f"telemetry.{key}"] == variable

    assert loaded(tmp_path, "", {variable: ""}) == Config()
    if isinstance(value, str) and key in ("endpoint", "service_name"):
        ours = {variable: text, f"FERRITE_TELEMETRY_{key.upper()}": "http://ours"}
        in_file = f"[telemetry]\n{key} = 'http://file'\n"
        assert value == loaded(tmp_path, in_file, {variable: text}).value(f"telemetry.{key}")
        assert loaded(tmp_path, "", ours).value(f"telemetry.{key}") == "http://ours"
        flagged = loaded(tmp_path, "", ours, **{key: "http://flag"})
        assert flagged.value(f"telemetry.{key}") == "http://flag"


@pytest.mark.parametrize(
    ("endpoint", "line"),
    [
        ("http://h:4318", 'endpoint = "http://h:4318"  # command line\n'),
        ("http://me:s3cret@h:4318", '# endpoint = "http://***@h:4318"  # command line\n'),
        ("https://me:s3c@ret/s3cret@h", '# endpoint = "https://***@h"  # command line\n'),
        ("h:1?token=s3cret", '# endpoint = "h:1?***"  # command line\n'),
    ],
)
def test_show_hides_what_is_secret_in_the_endpoint(endpoint: str, line: str) -> None:
    """A name, a password, a query; what is shown of them cannot be loaded by mistake."""
    text = render_show(Sources(None, {}, {"telemetry.endpoint": endpoint}).load())

    assert line in text
    assert "s3cret" not in text


def test_show_hides_headers(tmp_path: Path) -> None:
    """A header is a secret; other tables are shown so that they load again."""
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret",
        "OTEL_RESOURCE_ATTRIBUTES": "a.b=c",
    }

    text = render_show(Sources(None, environ, {}).load())

    assert "s3cret" not in text
    assert 'resource_attributes = { "a.b" = "c" }  # OTEL_RESOURCE_ATTRIBUTES\n' in text
    assert dict(loaded(tmp_path, text, {}).telemetry.resource_attributes) == {"a.b": "c"}


def test_rewrite_keeps_the_other_name_of_the_section() -> None:
    """CONFIG REWRITE changes the value where it stands, and adds to the section that is there."""
    text = "[otel]\nsample_rate = 0.5\nheaders = { a = '${TOKEN}' }\n"
    config = with_values(Config(), {"telemetry.sample_rate": 0.25, "telemetry.detail": "full"})

    changed = rewritten(text, "f", config, {"telemetry.sample_rate", "telemetry.detail"})

    expected = "[otel]\nsample_rate = 0.25\nheaders = { a = '${TOKEN}' }\ndetail = \"full\"\n"
    assert changed == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--disable-observability"], {"telemetry.enabled": False, "metrics.enabled": False}),
        (
            ["--prometheus-port", "9191", "--disable-metrics"],
            {"telemetry.metrics_enabled": False, "metrics.enabled": False, "metrics.port": 9191},
        ),
        (
            ["--disable-metrics", "--prometheus-port", "9191"],
            {"telemetry.metrics_enabled": False, "metrics.enabled": False, "metrics.port": 9191},
        ),
        (
            ["--disable-observability", "--otlp-endpoint", "http://h:2", "--prometheus-port=9191"],
            {
                "telemetry.enabled": False,
                "metrics.enabled": False,
                "telemetry.endpoint": "http://h:2",
            },
        ),
        (
            ["--disable-observability", "--enable-tracing", "--set", "metrics.enabled=yes"],
            {"telemetry.enabled": False, "metrics.enabled": False},
        ),
        (
            ["--enable-tracing", "--set=otel.enabled=yes", "--disable-observability"],
            {"telemetry.enabled": False, "metrics.enabled": False},
        ),
        (
            ["--disable-logging", "--set", "telemetry.logs_enabled=yes"],
            {"telemetry.logs_enabled": False, "telemetry.command_lines": False},
        ),
        (
            ["--disable-logging"],
            {"telemetry.logs_enabled": False, "telemetry.command_lines": False},
        ),
        (
            ["--enable-tracing", "--otlp-endpoint", "http://localhost:4317"],
            {
                "telemetry.enabled": True,
                "telemetry.traces_enabled": True,
                "telemetry.endpoint": "http://localhost:4317",
            },
        ),
        (["--event-bus-queue-size", "10000"], {"telemetry.event_bus_queue_size": 10000}),
        (["--prometheus-port=9191"], {"metrics.enabled": True, "metrics.port": 9191}),
    ],
)
@pytest.mark.seed(
    "--event-bus-queue-size",
)
def test_flags(flags: list[str], expected: dict[str, object]) -> None:
    """Each flag of observability sets what it names, before and behind a command.

    Those that switch off go over all others, wherever they stand.
    """
    for argv in (flags, ["config", "show", *flags]):
        arguments = cli._parser().parse_args(argv)
        on = {"telemetry.endpoint": "http://h:1", "metrics.enabled": "yes"}
        sources = cli._sources(arguments, {})
        config = Sources(None, {}, {**on, **sources.flags}).load().config

        assert expected == {name: config.value(name) for name in expected}


@pytest.mark.parametrize("is_first", [True, False])
def test_switching_off_goes_over_flags_on_both_sides_of_a_command(is_first: bool) -> None:
    """A flag before the command counts as one behind it does."""
    off, on = ["--disable-metrics"], ["--prometheus-port", "9191"]
    before, behind = (off, on) if is_first else (on, off)

    arguments = cli._parser().parse_args([*before, "config", "show", *behind])
    config = cli._sources(arguments, {}).load().config

    assert (config.metrics.enabled, config.metrics.port) == (False, 9191)


def test_enabling_tracing_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line ends with a message that says what is missing."""
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)

    assert cli.main(["--enable-tracing"]) == 1

    message = capsys.readouterr().err
    assert "command line: telemetry.enabled: tracing is enabled, and nothing says where" in message
