"""Side-by-side benchmarks: ferrite-py against the stock servers, one command for each figure."""
