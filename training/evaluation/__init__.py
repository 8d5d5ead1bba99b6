"""Measures of checkpoints, one module each, and the registry of all measures and metrics."""
