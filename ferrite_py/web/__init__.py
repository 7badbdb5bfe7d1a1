"""The administrators' HTTP: /metrics, /health and /ready."""
