"""What is measured on checkpoints: a module for each measure, and the registry of all measures and metrics."""
