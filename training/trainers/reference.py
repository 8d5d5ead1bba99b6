"""The reference's log-probabilities, computed once before training, from the very tokens that are trained on.

They are kept in a store (:mod:`training.trainers.reference_store`), so that a training that is resumed, or another one
with the same reference and pairs, finds them; the reference is loaded only where some are missing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers.utils import cached_file
from trl.trainer.utils import add_fused_lm_head

from training.trainers import loading, processes
from training.trainers.pair_logps import PairTokens, pair_batch, shared_batch, shares_prompts, summed_logps
from training.trainers.reference_store import ReferenceStore, Sums, entry_key, weights_hash
from training.trainers.results import Say, ShouldStop, Stopped, say_nothing

KEEP_SECONDS: Final = 10.0  # what was computed is written at least so often
FORMAT: Final = 1  # of what is computed; another number finds nothing of before


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model that is asked for log-probabilities, and how. ``pairs_at_once`` is the most on the device."""

    model: str
    dtype: str
    pad_token_id: int
    pairs_at_once: int
    trust_remote_code: bool = False


def reference_rows(
    reference: AskedModel,
    pairs: Sequence[PairTokens],
    *,
    augment: bool,
    store: Path | None,
    say: Say,
    should_stop: ShouldStop,
) -> list[dict[str, Any]]:
    """What is trained on: a row a pair with its tokens and the reference's log-probabilities, for p⊕x too if asked."""
    plain, refined = pair_logps(reference, pairs, augment=augment, store=store, say=say, should_stop=should_stop)
    rows = []
    for place, pair in enumerate(pairs):
        row: dict[str, Any] = {"pair_id": pair.pair_id, "prompt_ids": pair.prompt_ids}
        row |= {"chosen_ids": pair.chosen_ids, "rejected_ids": pair.rejected_ids}
        row["ref_chosen_logps"], row["ref_rejected_logps"] = plain[place]
        if augment:
            row["augmented_ids"] = pair.augmented_ids
            row["augmented_ref_chosen_logps"], row["augmented_ref_rejected_logps"] = refined[place]
        rows.append(row)
    return rows


def pair_logps(
    asked: AskedModel,
    pairs: Sequence[PairTokens],
    *,
    augment: bool,
    should_stop: ShouldStop,
    store: Path | None = None,
    say: Say = say_nothing,
) -> tuple[list[Sums], list[Sums]]:
    """Each pair's summed log-probabilities (chosen, rejected) given x, and given p⊕x where ``augment`` asks for them.

    With a ``store``, what is there is taken from it and the rest is added to it; where all is there, the model is not
    loaded. Raises :class:`Stopped` between two batches; what was computed by then is in the store.
    """
    keys = [(_key(pair, pair.prompt_ids), _key(pair, pair.augmented_ids) if augment else "") for pair in pairs]
    model = None
    folder = _weights_folder(asked.model) if store is not None else None
    if store is not None and folder is None:
        model = _load(asked)
        folder = _weights_folder(asked.model)
    kept = ReferenceStore(store, _identity(asked, folder)) if store is not None and folder is not None else None
    main = processes.state().is_main_process
    found = processes.agreed(kept.load() if kept and main else {})
    there = sum(plain in found and (not augment or refined in found) for plain, refined in keys)
    if kept:
        missing = len(pairs) - there
        say(f"Reference log-probabilities: {there:,} of {len(pairs):,} pairs found, {missing:,} to compute.")
    if there < len(pairs):
        ask = _Asking(asked, pairs, found, kept, should_stop)
        model = model or _load(asked)
        # In the number format that the policy will be asked in: else a policy equal to its reference shows a margin.
        with torch.autocast("cuda", torch.bfloat16, enabled=loading.computes_in_bfloat16(asked.dtype)):
            computed = ask(model, augmented=False) | (ask(model, augmented=True) if augment else {})
        found |= processes.joined(computed)
        if kept and main:
            kept.tidy()
    del model
    gc.collect()
    return [found[plain] for plain, _ in keys], [found[refined] for _, refined in keys] if augment else []


def _key(pair: PairTokens, prompt: Sequence[int]) -> str:
    return entry_key(prompt, pair.chosen_ids, pair.rejected_ids)


def _weights_folder(model: str) -> Path | None:
    """Where the model's files are on this machine; ``None`` for one on a hub that was not loaded yet."""
    if Path(model).is_dir():
        return Path(model)
    try:
        config = cached_file(model, "config.json", local_files_only=True)
    except OSError:
        return None
    folder = Path(config).parent if config else None
    return folder if folder and any(folder.glob("*.safetensors")) else None


def _identity(asked: AskedModel, folder: Path) -> dict[str, Any]:
    """All that the values depend on beside the tokens."""
    return {
        "format": FORMAT,
        "weights": weights_hash(folder),
        "dtype": str(loading.weight_dtype(asked.dtype)),
        "bfloat16 arithmetic": loading.computes_in_bfloat16(asked.dtype),
        "device": "cpu" if loading.use_cpu() else "cuda",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _load(asked: AskedModel) -> Any:
    dtype = loading.weight_dtype(asked.dtype)
    model, _ = loading.load_model(asked.model, dtype=dtype, trust_remote_code=asked.trust_remote_code)
    model = model.to(processes.state().device).eval()
    add_fused_lm_head(model, outputs=("log_probs",))
    return model


class _Asking:
    """Asks a model for what is missing, in order of length, and writes it to the store as it comes.

    The batches are the same whatever is missing, so that a training that was killed here and one that was not compute
    the same numbers, to the last bit. Processes take turns at them.
    """

    def __init__(
        self,
        asked: AskedModel,
        pairs: Sequence[PairTokens],
        found: Mapping[str, Sums],
        store: ReferenceStore | None,
        should_stop: ShouldStop,
    ) -> None:
        self.asked, self.pairs, self.found = asked, pairs, found
        self.store, self.should_stop = store, should_stop
        self._layout: Callable[..., dict[str, torch.Tensor]] | None = None

    @torch.no_grad()
    def __call__(self, model: Any, *, augmented: bool) -> dict[str, Sums]:
        """Summed log-probabilities of this process's share of the pairs, by key; ``augmented``: given p⊕x."""
        world = processes.state()
        if self._layout is None:
            shares = shares_prompts(model, self.pairs, self.asked.pad_token_id)
            self._layout = shared_batch if shares else pair_batch
        order = sorted(self.pairs, key=lambda pair: (pair.length, pair.shared_tokens))
        size = self.asked.pairs_at_once
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        computed: dict[str, Sums] = {}
        unwritten: dict[str, Sums] = {}
        written = time.monotonic()
        for number, batch in enumerate(batches[world.process_index :: world.num_processes]):
            if number and self.should_stop():
                self._write(unwritten)
                raise Stopped(0)
            prompts = [pair.augmented_ids if augmented else pair.prompt_ids for pair in batch]
            keys = [_key(pair, prompt) for pair, prompt in zip(batch, prompts, strict=True)]
            if all(key in self.found for key in keys):
                continue
            chosen, rejected = [pair.chosen_ids for pair in batch], [pair.rejected_ids for pair in batch]
            tensors = self._layout(prompts, chosen, rejected, self.asked.pad_token_id)
            sums = summed_logps(model, {name: tensor.to(model.device) for name, tensor in tensors.items()})
            for key, one, other in zip(keys, *(column.tolist() for column in sums), strict=True):
                if key not in self.found:
                    computed[key] = unwritten[key] = one, other
            if time.monotonic() - written > KEEP_SECONDS:
                self._write(unwritten)
                written = time.monotonic()
        self._write(unwritten)
        return computed

    def _write(self, unwritten: dict[str, Sums]) -> None:
        if self.store:
            self.store.add(unwritten)
        unwritten.clear()
