"""The variants that ``tests.benchmarks.training`` measures: stock TRL, ours, and naive self-refined losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from training.config import PreferenceConfig
from training.trainers import loading, losses
from training.trainers.encoding import encode_pairs
from training.trainers.pair_logps import PairTokens, pair_batch
from training.trainers.preference import train_preference

Pair = dict[str, Any]
OURS = {"dpo": "ours, DPO", "ipo": "ours, IPO", "sr_dpo": "ours, Sr-DPO", "sr_ipo": "ours, Sr-IPO"}
NAIVE = {"naive_sr_dpo": "naive Sr-DPO", "naive_sr_ipo": "naive Sr-IPO"}
STOCK = {"stock": "stock TRL, DPO", "stock_checkpointing": "stock TRL, DPO, gradient checkpointing (TRL's default)"}
VARIANTS = STOCK | OURS | NAIVE


@dataclass(frozen=True)
class Job:
    """Settings shared by all variants; ``beta`` and ``lam`` are those of the losses."""

    model: str
    output_dir: Path
    epochs: float
    batch_size: int
    micro_batch_size: int
    max_length: int
    learning_rate: float
    seed: int
    dtype: str
    beta: float = 0.1
    lam: float = 0.3


SIZES = {
    "20m": (320, 8, 5),
    "0.1b": (768, 12, 12),
    "0.5b": (1280, 26, 20),
    "1b": (1792, 26, 28),
}  # width, layers, heads


def save_random_model(size: str, tokenizer: str, folder: Path) -> Path:
    """Save an untrained Llama of about that many parameters, with a vocabulary of 32,000 tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    if size not in SIZES:
        raise SystemExit(f"no size is called {size}; there are {', '.join(SIZES)}")
    width, layers, heads = SIZES[size]
    words = loading.load_tokenizer(tokenizer)
    words.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=max(32_000, len(words)), hidden_size=width, intermediate_size=width * 27 // 10,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads, tie_word_embeddings=True,
        max_position_embeddings=4096, pad_token_id=words.pad_token_id, bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def train(variant: str, pairs: Sequence[Pair], job: Job) -> list[float]:
    """Train from the model's folder to a saved model. Returns the loss of every optimizer step."""
    if variant in OURS:
        return ours(variant, pairs, job)
    if variant in NAIVE:
        return naive(variant.removeprefix("naive_"), pairs, job)
    return stock(pairs, job, checkpointing=variant == "stock_checkpointing")


def ours(loss: str, pairs: Sequence[Pair], job: Job) -> list[float]:
    """Train as a run of the dashboard does."""
    config = PreferenceConfig(
        loss=loss,
        beta=job.beta,
        lam=job.lam,
        learning_rate=job.learning_rate,
        final_learning_rate=job.learning_rate,
        schedule="constant",
        batch_size=job.batch_size,
        micro_batch_size=job.micro_batch_size,
        epochs=job.epochs,
    )
    points: list[dict[str, Any]] = []
    train_preference(
        pairs,
        model=job.model,
        reference=job.model,
        output_dir=job.output_dir,
        config=config,
        seed=job.seed,
        report=points.append,
        should_stop=lambda: False,
        max_length=job.max_length,
        dtype=job.dtype,
    )
    return [point["loss"] for point in points]


def stock(pairs: Sequence[Pair], job: Job, *, checkpointing: bool) -> list[float]:
    """Train with TRL's ``DPOTrainer`` as in its documentation."""
    from datasets import Dataset

    tokenizer = loading.load_tokenizer(job.model)
    arguments = _arguments(job, gradient_checkpointing=checkpointing, model_init_kwargs={"dtype": _weights(job)})
    trainer = DPOTrainer(
        job.model,
        args=arguments,
        train_dataset=Dataset.from_list([{name: pair[name] for name in _COLUMNS} for pair in pairs]),
        processing_class=tokenizer,
    )
    return _train_and_save(trainer, job)


def naive(loss: str, pairs: Sequence[Pair], job: Job) -> list[float]:
    """Train with a self-refined loss as in algorithms 1 and 2 of Yu et al. (2024).

    Each step computes policy and reference on both x and p⊕x.
    """
    from datasets import Dataset

    tokenizer = loading.load_tokenizer(job.model)
    encoded, _ = encode_pairs(tokenizer, pairs, max_length=job.max_length, augment=True)
    trainer = _NaiveTrainer(
        job.model,
        args=_arguments(
            job,
            gradient_checkpointing=False,
            model_init_kwargs={"dtype": _weights(job)},
            remove_unused_columns=False,
        ),
        train_dataset=Dataset.from_list([{name: getattr(pair, name) for name in _TOKENS} for pair in encoded]),
        data_collator=partial(_collate, pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
        formula=losses.sr_dpo_loss if loss == "sr_dpo" else losses.sr_ipo_loss,
        lam=job.lam,
    )
    return _train_and_save(trainer, job)


class _NaiveTrainer(DPOTrainer):
    """Applies the direct formulas to all logits, without caching between steps."""

    def __init__(self, *args: Any, formula: Callable[..., Tensor], lam: float, **kwargs: Any) -> None:
        self.formula = formula
        self.lam = lam
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # already tokenized

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        plain, augmented = inputs["plain"], inputs["augmented"]
        policy = _all_logits_logps(model, plain)
        with torch.no_grad():
            reference = _all_logits_logps(self.ref_model, plain)
            refined = *_all_logits_logps(model, augmented), *_all_logits_logps(self.ref_model, augmented)
            delta = losses.refinement_delta(*refined, beta=self.beta)
        return self.formula(*policy, *reference, beta=self.beta, delta=delta, lam=self.lam).mean()


def _all_logits_logps(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the summed log-probabilities of chosen and rejected responses, (pairs,) each, from all logits."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    logps = logits[:, :-1].float().log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    chosen, rejected = (logps * batch["completion_mask"][:, 1:]).sum(dim=1).chunk(2)
    return chosen, rejected


def _collate(rows: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, dict[str, Tensor]]:
    chosen, rejected = ([row[name] for row in rows] for name in ("chosen_ids", "rejected_ids"))
    return {
        name: pair_batch([row[prompt] for row in rows], chosen, rejected, pad_token_id)
        for name, prompt in (("plain", "prompt_ids"), ("augmented", "augmented_ids"))
    }


_COLUMNS = ("prompt", "chosen", "rejected")
_TOKENS = tuple(PairTokens.__dataclass_fields__)


def _weights(job: Job) -> str:
    return str(loading.weight_dtype(job.dtype)).removeprefix("torch.")


def _arguments(job: Job, **more: Any) -> DPOConfig:
    """Return the settings shared with our trainer; all others keep TRL's defaults."""
    return DPOConfig(
        output_dir=str(job.output_dir),
        per_device_train_batch_size=job.micro_batch_size,
        gradient_accumulation_steps=max(1, job.batch_size // job.micro_batch_size),
        num_train_epochs=job.epochs,
        learning_rate=job.learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        beta=job.beta,
        max_length=job.max_length,
        seed=job.seed,
        data_seed=job.seed,
        use_cpu=loading.use_cpu(),
        bf16=loading.computes_in_bfloat16(job.dtype),
        dataloader_pin_memory=not loading.use_cpu(),
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        **more,
    )


class _Losses(TrainerCallback):
    def __init__(self) -> None:
        self.series: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.series.append(float(logs["loss"]))


def _train_and_save(trainer: DPOTrainer, job: Job) -> list[float]:
    seen = _Losses()
    trainer.add_callback(seen)
    trainer.train()
    trainer.save_model(str(job.output_dir / "model"))
    return seen.series
