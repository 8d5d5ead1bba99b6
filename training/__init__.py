"""The science: everything that generates, judges, pairs, trains and measures. No Django, save in ``jobs.py``."""
