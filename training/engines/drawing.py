"""Drawing the next token, each row from its own noise, so that a row does not depend on its neighbours in the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def uniform_noise(seed: int, steps: int) -> np.ndarray:
    """One number in [0, 1) for each step of a completion, from its seed alone. Shape (steps,).

    A longer limit gives the same numbers and more, so the limit does not change the text before it.
    """
    return np.random.default_rng(seed).random(steps)


def _ascending(values: Tensor) -> Tensor:
    """Each row sorted from low to high."""
    if values.device.type == "cpu":
        # numpy sorts values alone, without their places, some twenty times as fast as torch does on a CPU.
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero outside the smallest set of most probable tokens with mass ``top_p``. Shape (rows, vocabulary).

    Tokens that are exactly as probable as the last one taken stay in, so the set does not hang on a sort's order.
    """
    ordered = _ascending(probabilities)
    outside = torch.full((len(ordered), 1), 1 - top_p, dtype=ordered.dtype, device=ordered.device)
    # The most that may be left out is the mass 1 - p: the first token that would pass it is the smallest kept.
    place = torch.searchsorted(ordered.cumsum(-1), outside, right=True).clamp(max=ordered.shape[-1] - 1)
    return probabilities.where(probabilities >= ordered.gather(-1, place), 0.0)


def draw_tokens(logits: Tensor, noise: Tensor, *, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """One token a row, an exact draw by the inverse of the distribution function; the best one at temperature 0.

    ``logits`` (rows, vocabulary), ``noise`` (rows,) in [0, 1). Returns tokens (rows,) and their log-probabilities
    (rows,) in nats under the model itself, before temperature and nucleus.
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
        # Below the total by one step of the number format: the draw then always falls on a token that can occur.
        point = torch.minimum(noise[:, None].to(total) * total, torch.nextafter(total, torch.zeros_like(total)))
        tokens = torch.searchsorted(cumulative, point, right=True)[:, 0]
    chosen = logits.gather(-1, tokens[:, None])[:, 0]
    return tokens, chosen - logits.logsumexp(-1)
