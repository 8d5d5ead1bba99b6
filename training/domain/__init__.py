"""Pure functions on frozen rows: standard library and numpy only, no I/O."""
