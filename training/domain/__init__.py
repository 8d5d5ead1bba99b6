"""Pure functions on frozen rows: standard library and numpy only (torch in ``losses`` alone), no I/O."""
