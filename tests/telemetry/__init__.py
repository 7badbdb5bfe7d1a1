"""Telemetry against a real OTLP receiver."""
