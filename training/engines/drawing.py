"""Sample next tokens with separate noise per row, so that a row does not depend on the rest of its batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def uniform_noise(seed: int, steps: int) -> np.ndarray:
    """Return uniform noise in [0, 1) of shape (steps,), determined by the seed.

    A larger ``steps`` extends the same sequence, so the length limit does not change the text before it.
    """
    return np.random.default_rng(seed).random(steps)


def _ascending(values: Tensor) -> Tensor:
    """Sort each row in ascending order."""
    if values.device.type == "cpu":
        # On a CPU, numpy sorts values without indices about twenty times faster than torch.
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Set probabilities outside the nucleus of mass ``top_p`` to zero. Shape (rows, vocabulary).

    Tokens tied with the least probable token of the nucleus are kept, so the result does not depend on sort order.
    """
    ordered = _ascending(probabilities)
    outside = torch.full((len(ordered), 1), 1 - top_p, dtype=ordered.dtype, device=ordered.device)
    # At most a mass of 1 - p is removed: the first token that would exceed it is the least probable one kept.
    place = torch.searchsorted(ordered.cumsum(-1), outside, right=True).clamp(max=ordered.shape[-1] - 1)
    return probabilities.where(probabilities >= ordered.gather(-1, place), 0.0)


def draw_tokens(logits: Tensor, noise: Tensor, *, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """Sample one token per row by inverting the distribution function; greedy at temperature 0.

    ``logits`` (rows, vocabulary), ``noise`` (rows,) in [0, 1). Returns tokens (rows,) and their log-probabilities
    (rows,) in nats, before temperature and nucleus sampling.
    """
    logits = logits.float()
    if temperature == 0:
        tokens = logits.argmax(-1)
    else:
        probabilities = (logits / temperature).softmax(-1)
        if top_p < 1:
            probabilities = _nucleus(probabilities, top_p)
        cumulative = probabilities.cumsum(-1)
        total = cumulative[:, -1:]
        # Stay one floating-point step below the total, so that a token of probability zero is never sampled.
        point = torch.minimum(noise[:, None].to(total) * total, torch.nextafter(total, torch.zeros_like(total)))
        tokens = torch.searchsorted(cumulative, point, right=True)[:, 0]
    chosen = logits.gather(-1, tokens[:, None])[:, 0]
    return tokens, chosen - logits.logsumexp(-1)
