"""Conversations as tokens, for fine-tuning, preference training, generation and judging alike."""
