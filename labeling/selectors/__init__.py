"""Queries on queues, reviews and agreement. They write nothing."""
