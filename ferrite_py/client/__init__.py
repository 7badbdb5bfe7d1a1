"""For applications that use redis-py: their trace context reaches the server.

docs/clients.md shows how to use it. It stands alone: it imports neither the server nor the native
module.
"""

from ferrite_py.client.instrumentor import FerriteInstrumentor

__all__ = ["FerriteInstrumentor"]
