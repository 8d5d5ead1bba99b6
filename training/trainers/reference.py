"""The reference's log-probabilities, computed once before training, from the very tokens that are trained on."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.utils import add_fused_lm_head

from training.trainers import loading
from training.trainers.pair_logps import PairTokens, pair_batch, summed_logps
from training.trainers.results import ShouldStop, Stopped


def reference_dataset(
    reference: str,
    pairs: Sequence[PairTokens],
    *,
    augment: bool,
    pad_token_id: int,
    dtype: str,
    batch_size: int,
    trust_remote_code: bool,
    should_stop: ShouldStop,
) -> Dataset:
    """What is trained on: a row a pair with its tokens and the reference's log-probabilities, for p⊕x too if asked.

    The model is loaded here and let go before the policy is loaded. Raises :class:`Stopped` between two batches.
    """
    model, _ = loading.load_model(reference, dtype=loading.weight_dtype(dtype), trust_remote_code=trust_remote_code)
    model = model.to("cpu" if loading.use_cpu() else "cuda").eval()
    add_fused_lm_head(model, outputs=("log_probs",))
    ask = partial(
        reference_logps, model, pairs, pad_token_id=pad_token_id, batch_size=batch_size, should_stop=should_stop
    )
    # In the number format that the policy will be asked in: else a policy equal to its reference shows a margin.
    with torch.autocast("cuda", torch.bfloat16, enabled=loading.computes_in_bfloat16(dtype)):
        plain = ask(augmented=False)
        refined = ask(augmented=True) if augment else []
    rows = [
        {"prompt_ids": pair.prompt_ids, "chosen_ids": pair.chosen_ids, "rejected_ids": pair.rejected_ids}
        | {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
        for pair, (chosen, rejected) in zip(pairs, plain, strict=True)
    ]
    if augment:
        for row, pair, (chosen, rejected) in zip(rows, pairs, refined, strict=True):
            row["augmented_ids"] = pair.augmented_ids
            row |= {"augmented_ref_chosen_logps": chosen, "augmented_ref_rejected_logps": rejected}
    del model, ask
    gc.collect()
    return Dataset.from_list(rows)


@torch.no_grad()
def reference_logps(
    model: Any,
    pairs: Sequence[PairTokens],
    *,
    augmented: bool,
    pad_token_id: int,
    batch_size: int,
    should_stop: ShouldStop,
) -> list[tuple[float, float]]:
    """The reference's summed log-probabilities of every pair (chosen, rejected), in order of length.

    ``augmented``: given p⊕x instead of x. Raises :class:`Stopped` between two batches when ``should_stop`` says so.
    """
    order = sorted(range(len(pairs)), key=lambda place: pairs[place].length)
    found: list[tuple[float, float]] = [(0.0, 0.0)] * len(pairs)
    for start in range(0, len(order), batch_size):
        if start and should_stop():
            raise Stopped(0)
        places = order[start : start + batch_size]
        batch = pair_batch(
            [pairs[place].augmented_ids if augmented else pairs[place].prompt_ids for place in places],
            [pairs[place].chosen_ids for place in places],
            [pairs[place].rejected_ids for place in places],
            pad_token_id,
        )
        chosen, rejected = summed_logps(model, {name: tensor.to(model.device) for name, tensor in batch.items()})
        for place, one, other in zip(places, chosen.tolist(), rejected.tolist(), strict=True):
            found[place] = (one, other)
    return found
