"""Seeds that follow from what a row is, so that the same row is drawn the same way in any process, at any time."""

from __future__ import annotations

import hashlib

MAX_SEED = 2**31 - 1


def derive_seed(run_seed: int, *parts: int | str) -> int:
    """A seed in [0, 2^31 - 1) from the run's seed and the parts that name a row, by SHA-256.

    Parts of different type or split never collide by accident: 1 and "1", and ("ab", "c") and ("a", "bc"), differ.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (run_seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % MAX_SEED
