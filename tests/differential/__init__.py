"""The differential suite: the same bytes to a stock redis-server and to ferrite-py."""
