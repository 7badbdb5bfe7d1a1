"""Export of traces and logs over OTLP; imported only when telemetry is enabled."""
