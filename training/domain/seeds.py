"""Seeds derived from row content, so that sampling is reproducible in any process and order."""

from __future__ import annotations

import hashlib

MAX_SEED = 2**31 - 1


def derive_seed(run_seed: int, *parts: int | str) -> int:
    """Return a seed in [0, 2^31 - 1) from the run's seed and the parts that identify a row, by SHA-256.

    The encoding is unambiguous: 1 and "1", or ("ab", "c") and ("a", "bc"), give different seeds.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (run_seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % MAX_SEED
