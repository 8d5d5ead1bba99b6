"""Preference training: the losses by name and their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, WrapValidator

from training.config.base import GRADIENT_CHECKPOINTING, Section
from training.config.datasets import DatasetRef
from training.domain.loss_specs import LOSSES

# A type checker reads a plain string; pydantic, the form and the API's schema read the choices from the entries.
if TYPE_CHECKING:
    LossName = str
else:
    LossName = Literal[tuple(LOSSES)]

#: What ``lam: auto`` chooses from (003 section 4.1, implementation details).
LAMBDAS = (0.1, 0.3, 0.5, 1.0)
MOST_LAMBDA = 10


def _auto_or_number(value: Any, read: Callable[[Any], Any]) -> Any:
    """λ as given: one sentence for whatever is neither."""
    try:
        found = read(value.strip().lower() if isinstance(value, str) else value)
    except ValidationError:
        found = None
    if found != "auto" and (found is None or isinstance(value, bool) or not 0 <= found <= MOST_LAMBDA):
        raise ValueError(f"must be auto, or a number from 0 to {MOST_LAMBDA}")
    return found


Lambda = Annotated[float | Literal["auto"], WrapValidator(_auto_or_number)]


class LoraConfig(Section):
    """Low-rank adaptation, on top of the frozen weights."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the update.")
    alpha: float = Field(32, gt=0, description="Scale of the update.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the update.")
    quantize_4bit: bool = Field(
        False, description="QLoRA: frozen weights in 4 bits. Needs a CUDA GPU and bitsandbytes."
    )


class EarlyStoppingConfig(Section):
    """Stop when a checkpoint no longer wins against the one before (001 section 3.1.3)."""

    every: int = Field(200, ge=1, description="Steps from one checkpoint to the next that are compared.")
    dataset: Annotated[
        str,
        DatasetRef(when=("iterations", "training.early_stopping"), required="name a data set with validation prompts"),
    ] = Field("", description="Name of the data set with validation prompts, which nothing else uses.")
    count: int = Field(253, ge=1, le=100_000, description="Validation prompts, the first ones; 253 in the paper.")
    judge: Literal["teacher", "self"] = Field(
        "teacher", description="Who compares: the teacher, or the model that the training starts from."
    )
    min_decided: int = Field(
        10, ge=1, description="With fewer prompts won or lost in both orders a comparison says nothing."
    )


class PreferenceConfig(Section):
    """M_t to M_t+1: the DPO family (001 section 3.1.3, 003 section 3.3)."""

    method: Literal["preference", "positive_only"] = Field(
        "preference",
        description="Fine-tuning on the chosen responses alone is the ablation of 001 appendix A.4.",
    )
    loss: LossName = Field(
        "dpo",
        description="DPO, IPO, Sr-DPO and Sr-IPO sum log-probabilities as the papers do; trl:ipo averages over tokens.",
    )
    beta: float = Field(0.1, gt=0, le=100, description="β: how strongly the policy is held to the reference.")
    lam: Lambda = Field(
        0.3,
        description="λ of the self-refined losses, weight of the refinement Δ: 0 to 10, or auto, the best of 0.1, 0.3, "
        "0.5 and 1 on the held-out pairs. Auto trains four times.",
    )
    max_pairs: int | None = Field(
        None, ge=1, description="At most so many pairs are trained on, drawn by the seed. Empty: all of them."
    )
    held_out_pairs: int = Field(
        0, ge=0, le=100_000, description="Pairs of each iteration set aside to measure on, never trained on; 50 in 003."
    )
    reference: Literal["previous", "m1", "base"] = Field(
        "previous", description="Reference model: the iterate that training starts from, M1, or M0."
    )
    learning_rate: float = Field(1e-6, gt=0, le=1, description="Peak learning rate.")
    final_learning_rate: float = Field(1e-7, ge=0, le=1, description="Learning rate at the last step.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Shape of the decay.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of the steps that warm up.")
    optimizer: Literal["adamw", "rmsprop"] = Field("adamw", description="Optimizer.")
    batch_size: int = Field(16, ge=1, le=65536, description="Pairs an optimizer step, by accumulation where needed.")
    micro_batch_size: int = Field(8, ge=1, le=4096, description="Pairs that are on the device at once.")
    epochs: float = Field(1.0, gt=0, le=100, description="Times through the pairs.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout while training.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradient norm above which it is scaled down; 0 is off.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay.")
    save_steps: int = Field(200, ge=1, description="A checkpoint to resume from every so many steps.")
    gradient_checkpointing: bool = Field(False, description=GRADIENT_CHECKPOINTING)
    lora: LoraConfig | None = Field(None, description="Empty: all weights are trained.")
    early_stopping: EarlyStoppingConfig | None = Field(None, description="Empty: the training runs to its end.")
    mix_previous: bool = Field(False, description="Train on the pairs of all iterations so far, not only the last.")

    @property
    def is_positive_only(self) -> bool:
        """Whether the chosen responses alone are trained on."""
        return self.method == "positive_only"

    @property
    def refines(self) -> bool:
        """Whether the training has a Δ, and so a λ."""
        return self.method == "preference" and self.loss in LOSSES and LOSSES[self.loss].is_refined

    @property
    def chooses_lambda(self) -> bool:
        """Whether λ is to be chosen on the held-out pairs."""
        return self.refines and self.lam == "auto"
