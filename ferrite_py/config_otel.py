"""OpenTelemetry's variables that no setting stands for: what they may say.

The SDK only warns of most words that it does not know, and then does something else; here they are
as wrong as any other value of the configuration.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

SIGNALS = ("traces", "metrics", "logs")
SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
EXPORTERS = ("otlp", "console", "none")
OTHER_EXPORTERS = ("zipkin", "jaeger", "prometheus", "logging")
"""Known words that mean nothing here, beside one that does."""

PROTOCOLS = ("grpc", "http/protobuf", "http")
"""`http` is our own word for the second."""

PROPAGATORS = ("tracecontext", "baggage")
"""What is read of callers."""

OTHER_PROPAGATORS = ("b3", "b3multi", "jaeger", "xray", "ottrace", "none")
"""Known words that mean nothing here: a variable may be the same for all of a fleet."""


EXEMPLAR_FILTERS = ("trace_based", "always_off")
ALL_EXEMPLARS = "always_on"
"""Stands for `trace_based`, which is the nearest: durations without a trace are only counted."""

_FEW = "a span has few attributes and links, and no events"
_REQUEST = "OTEL_EXPORTER_OTLP_{}_TIMEOUT is the time of a request"
WITHOUT_EFFECT = {
    "OTEL_ATTRIBUTE_COUNT_LIMIT": ("traces", f"{_FEW}; the log over OTLP keeps to it"),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ("traces", _FEW),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": ("traces", _FEW),
    "OTEL_SPAN_LINK_COUNT_LIMIT": ("traces", _FEW),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": ("traces", _FEW),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": ("traces", _FEW),
    "OTEL_METRIC_EXPORT_TIMEOUT": ("metrics", _REQUEST.format("METRICS")),
    "OTEL_BLRP_EXPORT_TIMEOUT": ("logs", _REQUEST.format("LOGS")),
    "OTEL_EXPORTER_PROMETHEUS_HOST": ("", "metrics.bind is the page's address"),
    "OTEL_EXPORTER_PROMETHEUS_PORT": ("", "metrics.port is the page's port"),
    "OTEL_LOG_LEVEL": ("", "logging.level is that of the SDK as well"),
    "OTEL_CONFIG_FILE": ("", "the file is ferrite-py's own (--config)"),
}
"""Variables of the specification that change nothing here: the one signal that they are of ("" for
none or several), and why."""

DETECTORS = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"

EXPORT_TIMEOUT = "OTEL_BSP_EXPORT_TIMEOUT"
_DIGITS_MAX = 18
"""What 64 bits hold; Python refuses to read thousands."""

WHOLE_NUMBERS = {
    EXPORT_TIMEOUT: "traces",
    "OTEL_BLRP_SCHEDULE_DELAY": "logs",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "logs",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "logs",
}
"""Variables that must say a whole number above 0, and the signal that each is of."""

LIMITS = {
    "OTEL_ATTRIBUTE_COUNT_LIMIT": ("traces", "logs"),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("traces", "logs"),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ("traces",),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("traces",),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": ("traces",),
    "OTEL_SPAN_LINK_COUNT_LIMIT": ("traces",),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": ("traces",),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": ("traces",),
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": ("logs",),
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("logs",),
}
"""Variables that must say a whole number, for the signals that the SDK reads each for."""

TEMPORALITIES = ("cumulative", "delta", "lowmemory")
"""The third is deltas of histograms alone."""

HISTOGRAMS = {
    "explicit": "explicit_bucket_histogram",
    "exponential": "base2_exponential_bucket_histogram",
}
"""Our names of the kinds of histograms, and OpenTelemetry's."""


def takes_ratio(environ: Mapping[str, str]) -> bool:
    """Whether OTEL_TRACES_SAMPLER_ARG is the ratio of the sampler, or of ours if none is named."""
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    return sampler not in SAMPLERS or sampler.endswith("traceidratio")


def read_temporality(text: str) -> str | None:
    """One of TEMPORALITIES, in any case; None for another word."""
    word = text.strip().lower()
    return word if word in TEMPORALITIES else None


def read_histograms(text: str) -> str | None:
    """Our name of OpenTelemetry's, in any case; None for another word."""
    names = {otel: ours for ours, otel in HISTOGRAMS.items()}
    return names.get(text.strip().lower())


@dataclass(frozen=True, slots=True)
class Words:
    """What a variable may say."""

    words: tuple[str, ...]
    is_list: bool = False
    """Whether several may stand there, separated by commas."""
    others: tuple[str, ...] = ()
    """Words that may stand beside one of these, and are passed over."""

    def wrong(self, text: str) -> str | None:
        """The first word that is not known, or that means nothing though no other does."""
        parts = text.split(",") if self.is_list else [text]
        given = [part.strip() for part in parts if part.strip()]
        is_enough = any(word.lower() in self.words for word in given)
        known = self.words + self.others if is_enough else self.words
        return next((word for word in given if word.lower() not in known), None)

    def passed_over(self, text: str) -> list[str]:
        """The words that mean nothing here."""
        return [word.strip() for word in text.split(",") if word.strip().lower() in self.others]


def _known() -> dict[str, Words]:
    known = {
        "OTEL_TRACES_SAMPLER": Words(SAMPLERS),
        "OTEL_PROPAGATORS": Words((*PROPAGATORS, *OTHER_PROPAGATORS), is_list=True),
        "OTEL_METRICS_EXEMPLAR_FILTER": Words((*EXEMPLAR_FILTERS, ALL_EXEMPLARS)),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": Words(TEMPORALITIES),
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": Words(
            tuple(HISTOGRAMS.values())
        ),
    }
    for signal in SIGNALS:
        name = signal.upper()
        known[f"OTEL_{name}_EXPORTER"] = Words(EXPORTERS, is_list=True, others=OTHER_EXPORTERS)
        known[f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL"] = Words(PROTOCOLS)
        known[f"OTEL_EXPORTER_OTLP_{name}_COMPRESSION"] = Words(("none", "gzip", "deflate"))
    return known


KNOWN = _known()


def wrong_variables(
    environ: Mapping[str, str], signals: Collection[str] = SIGNALS
) -> Iterator[str]:
    """What is wrong with the variables: a line for each, which names it.

    Those of one signal alone are looked at for the `signals` that are exported.
    """
    off = [signal.upper() for signal in SIGNALS if signal not in signals]
    of_others = tuple(
        begin for name in off for begin in (f"OTEL_{name}_EXPORTER", f"OTEL_EXPORTER_OTLP_{name}_")
    )
    for name, words in KNOWN.items():
        wrong = words.wrong(environ.get(name, ""))
        if wrong is not None and not name.startswith(of_others):
            yield f'{name}: "{wrong}": expected one of {", ".join(words.words)}'
    names = [f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT" for signal in signals]
    for name in ("OTEL_EXPORTER_OTLP_TIMEOUT", *names):
        if not _is_number(environ.get(name, "")):
            yield f'{name}: "{environ[name]}": expected a number of seconds'
    for name, signal in WHOLE_NUMBERS.items():
        text = environ.get(name, "")
        if text.strip() and signal in signals and not may_say(name, text):
            yield f'{name}: "{text}": expected a {whole(name)}'
    for name, signals_of in LIMITS.items():
        text = environ.get(name, "")
        if text.strip() and not is_count(text) and any(one in signals for one in signals_of):
            yield f'{name}: "{text}": expected a whole number'


def detectors(environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The detectors of the resource that are given: what the SDK finds, and what is not installed.

    A variable may be the same for all of a fleet; each image has detectors of its own.
    """
    words = [word.strip() for word in environ.get(DETECTORS, "").split(",") if word.strip()]
    if not words:
        return [], []
    installed = {"*", *entry_points(group="opentelemetry_resource_detector").names}
    return (
        [word for word in words if word in installed],
        [word for word in words if word not in installed],
    )


def without_effect(environ: Mapping[str, str], signals: Collection[str] = SIGNALS) -> Iterator[str]:
    """A line for each variable that is given and changes nothing, though a signal is exported."""
    for name, (signal, why) in WITHOUT_EFFECT.items():
        if environ.get(name, "").strip() and (not signal or signal in signals):
            yield f"{name}: without effect; {why}"
    has_ratio = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() and "traces" in signals
    if has_ratio and not takes_ratio(environ):
        sampler = environ["OTEL_TRACES_SAMPLER"].strip()
        yield f"OTEL_TRACES_SAMPLER_ARG: without effect; {sampler} takes none"


def may_say(name: str, text: str) -> bool:
    """Whether one of WHOLE_NUMBERS may say this; of a timeout 0 is no limit."""
    return is_count(text) if name == EXPORT_TIMEOUT else is_whole(text)


def whole(name: str) -> str:
    """What it may say, for people."""
    return "whole number" if name == EXPORT_TIMEOUT else "whole number above 0"


def is_whole(text: str) -> bool:
    """Whether it is a whole number above 0, in digits of ASCII; blanks around it do not count."""
    return is_count(text) and int(text) > 0


def is_count(text: str) -> bool:
    """The same, or 0."""
    digits = text.strip()
    return digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX


def _is_number(text: str) -> bool:
    try:
        return not text.strip() or float(text) >= 0
    except ValueError:
        return False
