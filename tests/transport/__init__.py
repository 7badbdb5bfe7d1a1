"""Sockets, limits and back-pressure: one suite over all transports."""
