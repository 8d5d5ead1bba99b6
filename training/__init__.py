"""The science: everything that generates, judges, pairs, trains and measures. No Django, save in ``jobs.py``."""

import os

# The training libraries report their use to their makers unless told not to, and read this when first imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
