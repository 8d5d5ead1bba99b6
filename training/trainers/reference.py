"""The reference's log-probabilities, computed before training from the same tokens that are trained on.

They are cached on disk (:mod:`training.trainers.reference_store`) for resumed trainings and for others with the same
reference and pairs. The reference is loaded only if some are missing.
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

KEEP_SECONDS: Final = 10.0  # maximum interval between two writes to the store
FORMAT: Final = 1  # increase it when the computation changes, to invalidate stored values


@dataclass(frozen=True, slots=True)
class LogpsModel:
    """A model for log-probabilities and its settings. ``pairs_at_once`` is the maximum number of pairs per batch.

    ``quantization`` is that of a policy with quantized weights (QLoRA): its reference is the same quantized model
    without an adapter, so that the margin is 0 at the first step, and not the model in full precision.
    """

    model: str
    dtype: str
    pad_token_id: int
    pairs_at_once: int
    trust_remote_code: bool = False
    quantization: Any = None


def reference_rows(
    reference: LogpsModel,
    pairs: Sequence[PairTokens],
    *,
    augment: bool,
    store: Path | None,
    say: Say,
    should_stop: ShouldStop,
) -> list[dict[str, Any]]:
    """Return one training row per pair: its tokens and the reference's log-probabilities.

    With ``augment``, the rows also contain those on the augmented prompt p⊕x.
    """
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
    settings: LogpsModel,
    pairs: Sequence[PairTokens],
    *,
    augment: bool,
    should_stop: ShouldStop,
    store: Path | None = None,
    say: Say = say_nothing,
) -> tuple[list[Sums], list[Sums]]:
    """Return each pair's summed log-probabilities (chosen, rejected) given x and, with ``augment``, given p⊕x.

    Stored values are read from ``store`` and missing ones are added to it; the model is loaded only if some are
    missing. Raises :class:`Stopped` between two batches, after saving the values computed so far.
    """
    keys = [(_key(pair, pair.prompt_ids), _key(pair, pair.augmented_ids) if augment else "") for pair in pairs]
    model = None
    folder = _weights_folder(settings.model) if store is not None else None
    if store is not None and folder is None:
        model = _load(settings)
        folder = _weights_folder(settings.model)
    kept = ReferenceStore(store, _identity(settings, folder)) if store is not None and folder is not None else None
    main = processes.state().is_main_process
    known = processes.agreed(kept.load() if kept and main else {})
    stored = sum(plain in known and (not augment or refined in known) for plain, refined in keys)
    if kept:
        missing = len(pairs) - stored
        say(f"Reference log-probabilities: {stored:,} of {len(pairs):,} pairs found, {missing:,} to compute.")
    if stored < len(pairs):
        missing_logps = _MissingLogps(settings, pairs, known, kept, should_stop)
        model = model or _load(settings)
        # Use the policy's number format: otherwise a policy equal to its reference would have a margin.
        with torch.autocast("cuda", torch.bfloat16, enabled=loading.computes_in_bfloat16(settings.dtype)):
            computed = missing_logps(model, augmented=False) | (missing_logps(model, augmented=True) if augment else {})
        known |= processes.joined(computed)
        if kept and main:
            kept.tidy()
    del model
    gc.collect()
    return [known[plain] for plain, _ in keys], [known[refined] for _, refined in keys] if augment else []


def _key(pair: PairTokens, prompt: Sequence[int]) -> str:
    return entry_key(prompt, pair.chosen_ids, pair.rejected_ids)


def _weights_folder(model: str) -> Path | None:
    """Return the model's local folder, or ``None`` if it has not been downloaded yet."""
    if Path(model).is_dir():
        return Path(model)
    try:
        config = cached_file(model, "config.json", local_files_only=True)
    except OSError:
        return None
    folder = Path(config).parent if config else None
    return folder if folder and any(folder.glob("*.safetensors")) else None


def _identity(settings: LogpsModel, folder: Path) -> dict[str, Any]:
    """Return everything except the tokens that the values depend on."""
    return {
        "format": FORMAT,
        "weights": weights_hash(folder),
        "dtype": str(loading.weight_dtype(settings.dtype)),
        "bfloat16 arithmetic": loading.computes_in_bfloat16(settings.dtype),
        "device": "cpu" if loading.use_cpu() else "cuda",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        **({"quantization": str(settings.quantization)} if settings.quantization is not None else {}),
    }


def _load(settings: LogpsModel) -> Any:
    dtype = loading.weight_dtype(settings.dtype)
    model, _ = loading.load_model(
        settings.model,
        dtype=dtype,
        trust_remote_code=settings.trust_remote_code,
        quantization_config=settings.quantization,
    )
    if settings.quantization is None:  # quantized weights are loaded onto the device, and cannot be moved
        model = model.to(processes.state().device)
    model = model.eval()
    add_fused_lm_head(model, outputs=("log_probs",))
    return model


class _MissingLogps:
    """Computes missing values in order of length and writes them to the store.

    The batches do not depend on which values are missing, so an interrupted and an uninterrupted training compute
    bitwise equal numbers. Batches are distributed over the processes in turn.
    """

    def __init__(
        self,
        settings: LogpsModel,
        pairs: Sequence[PairTokens],
        known: Mapping[str, Sums],
        store: ReferenceStore | None,
        should_stop: ShouldStop,
    ) -> None:
        self.settings, self.pairs, self.known = settings, pairs, known
        self.store, self.should_stop = store, should_stop
        self._layout: Callable[..., dict[str, torch.Tensor]] | None = None

    @torch.no_grad()
    def __call__(self, model: Any, *, augmented: bool) -> dict[str, Sums]:
        """Compute the summed log-probabilities of this process's pairs, by key; given p⊕x if ``augmented``."""
        world = processes.state()
        if self._layout is None:
            shares = shares_prompts(model, self.pairs, self.settings.pad_token_id)
            self._layout = shared_batch if shares else pair_batch
        order = sorted(self.pairs, key=lambda pair: (pair.length, pair.shared_tokens))
        size = self.settings.pairs_at_once
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
            if all(key in self.known for key in keys):
                continue
            chosen, rejected = [pair.chosen_ids for pair in batch], [pair.rejected_ids for pair in batch]
            tensors = self._layout(prompts, chosen, rejected, self.settings.pad_token_id)
            sums = summed_logps(model, {name: tensor.to(model.device) for name, tensor in tensors.items()})
            for key, one, other in zip(keys, *(column.tolist() for column in sums), strict=True):
                if key not in self.known:
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
