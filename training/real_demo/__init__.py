"""The demonstration on a real model: SmolLM2 learns to follow constraints that programs check."""
