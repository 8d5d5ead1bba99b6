"""One module a benchmark: takes rows, returns rows and metrics."""
