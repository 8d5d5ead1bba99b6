"""Supervised fine-tuning and preference training, both built on TRL."""
