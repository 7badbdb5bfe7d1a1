"""ferrite-py: a Redis-compatible cache server; Python decides, C moves bytes."""

__version__ = "0.1.0"

__all__ = ["__version__"]
