"""The embedded world: a tiny model and data that a program makes, so that everything runs anywhere."""
