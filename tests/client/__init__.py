"""The instrumentor for redis-py: against a server of the tests, a stock redis-server, and ours."""
