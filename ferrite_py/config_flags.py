"""Flags of the command line that set more than one thing, or take no value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that sets several settings, or one without a value; `{}` stands for its value."""

    name: str
    settings: tuple[tuple[str, str], ...]
    meaning: str
    takes_value: bool = False
    is_last_word: bool = False
    """Whether it goes over all other flags, wherever they stand."""

    def pairs(self, value: str) -> list[tuple[str, str]]:
        """The settings that it gives."""
        return [(name, value if text == "{}" else text) for name, text in self.settings]


FLAGS = (
    Flag(
        "--disable-observability",
        (("telemetry.enabled", "false"), ("metrics.enabled", "false")),
        "no traces, metrics or logs are recorded or exported; [insight] stays as it is",
        is_last_word=True,
    ),
    Flag(
        "--disable-metrics",
        (("telemetry.metrics_enabled", "false"), ("metrics.enabled", "false")),
        "no metrics, neither over OTLP nor over HTTP",
        is_last_word=True,
    ),
    Flag(
        "--disable-logging",
        (("telemetry.logs_enabled", "false"), ("telemetry.command_lines", "false")),
        "no logs over OTLP, and no lines about commands in the log",
        is_last_word=True,
    ),
    Flag(
        "--enable-tracing",
        (("telemetry.enabled", "true"), ("telemetry.traces_enabled", "true")),
        "traces over OTLP; needs an endpoint",
    ),
    Flag(
        "--otlp-endpoint",
        (("telemetry.enabled", "true"), ("telemetry.endpoint", "{}")),
        "export traces, metrics and logs to this URL, such as http://localhost:4317",
        takes_value=True,
    ),
    Flag(
        "--prometheus-port",
        (("metrics.enabled", "true"), ("metrics.port", "{}")),
        "serve /metrics on this port",
        takes_value=True,
    ),
)
"""Flags that are not another name of one setting. Those given later go over earlier ones, and those
that switch off over all, `--set` included."""
