"""What the tests share: server processes, a raw client, and the comparison of two servers."""
