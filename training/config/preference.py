"""Config of preference training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, WrapValidator

from training.config.base import GRADIENT_CHECKPOINTING, Section
from training.config.datasets import DatasetRef
from training.domain.loss_specs import LOSSES
from training.domain.templates import REFINEMENT_PROMPT

# Type checkers need a plain string; pydantic, the form and the API schema take the choices from the registry.
if TYPE_CHECKING:
    LossName = str
else:
    LossName = Literal[tuple(LOSSES)]

#: Values that ``lam: auto`` selects from (Yu et al., 2024, section 4.1, implementation details).
LAMBDAS = (0.1, 0.3, 0.5, 1.0)
MOST_LAMBDA = 10


def _auto_or_number(value: Any, read: Callable[[Any], Any]) -> Any:
    """Validate λ with a single error message for both types."""
    try:
        parsed = read(value.strip().lower() if isinstance(value, str) else value)
    except ValidationError:
        parsed = None
    if parsed != "auto" and (parsed is None or isinstance(value, bool) or not 0 <= parsed <= MOST_LAMBDA):
        raise ValueError(f"must be auto, or a number from 0 to {MOST_LAMBDA}")
    return parsed


def _numbers(value: Any) -> Any:
    """Return the parts of a text such as "3964, 6942", as the form sends it."""
    if isinstance(value, str):
        return [part for part in value.replace(",", " ").split() if part]
    return value


PairCounts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_numbers)]
Lambda = Annotated[float | Literal["auto"], WrapValidator(_auto_or_number)]


class LoraConfig(Section):
    """Low-rank adaptation of the frozen weights."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the adapter matrices.")
    alpha: float = Field(32, gt=0, description="Scaling: the update is multiplied by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapter.")
    quantize_4bit: bool = Field(
        False, description="QLoRA: quantize the frozen weights to 4 bits. Needs a CUDA GPU and bitsandbytes."
    )


class EarlyStoppingConfig(Section):
    """Stop when a checkpoint no longer beats the previous one (Yuan et al., 2024, section 3.1.3)."""

    every: int = Field(200, ge=1, description="Steps between compared checkpoints.")
    dataset: Annotated[
        str,
        DatasetRef(
            when=("iterations", "training.early_stopping"),
            required="name a data set with validation prompts",
            measures=True,
        ),
    ] = Field("", description="Data set with validation prompts. Use it for nothing else.")
    count: int = Field(
        253, ge=1, le=100_000, description="Number of validation prompts, drawn at random from the whole data set."
    )
    judge: Literal["evaluator", "teacher", "self", "own"] = Field(
        "evaluator",
        description="Judge of the comparisons: the evaluator, the teacher, the initial model of the training, or a "
        "model of its own (stopping_judge).",
    )
    min_decided: int = Field(10, ge=1, description="With fewer wins and losses together, training continues.")


class PreferenceConfig(Section):
    """Preference training from M_t to M_t+1 (Yuan et al., 2024, section 3.1.3; Yu et al., 2024, section 3.3)."""

    method: Literal["preference", "positive_only"] = Field(
        "preference",
        description="positive_only fine-tunes on the chosen responses alone (Yuan et al., 2024, appendix A.4).",
    )
    loss: LossName = Field(
        "dpo",
        description="DPO, IPO, Sr-DPO and Sr-IPO sum log-probabilities as in the papers; trl:ipo averages over tokens.",
    )
    beta: float = Field(0.1, gt=0, le=100, description="β: strength of the penalty for leaving the reference.")
    lam: Lambda = Field(
        0.3,
        description="λ, weight of the refinement Δ: 0 to 10, or auto. Auto trains with 0.1, 0.3, "
        "0.5 and 1 and keeps the best on the held-out pairs.",
    )
    refinement_prompt: str = Field(
        REFINEMENT_PROMPT.strip(),
        min_length=1,
        max_length=4000,
        description="p, which precedes the last user turn in p⊕x (Yu et al., 2024, section 3.2.2).",
    )
    max_pairs: int | None = Field(
        None, ge=1, description="Maximum number of training pairs, drawn by the seed. Empty: all."
    )
    pairs_by_iteration: PairCounts = Field(
        (),
        max_length=20,
        description="Maximum number of training pairs of each iteration, in order, such as 3964, 6942. Iterations "
        "without a number use max_pairs.",
    )
    seed_rows: bool = Field(
        False,
        description="positive_only: train on the rows of M1 too, as positive examples are added to the seed data "
        "(Yuan et al., 2024, section 2.3).",
    )
    min_chosen_score: float = Field(
        0.0, ge=0, le=5, description="positive_only: minimum score of a chosen response, in points."
    )
    held_out_pairs: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Pairs of each iteration that are held out for evaluation; 50 in Yu et al. (2024).",
    )
    reference: Literal["previous", "m1", "base"] = Field(
        "previous", description="Reference model: the model that the training starts from, M1, or M0."
    )
    learning_rate: float = Field(1e-6, gt=0, le=1, description="Peak learning rate.")
    final_learning_rate: float = Field(1e-7, ge=0, le=1, description="Learning rate at the last step.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate schedule.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    warmup_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Number of steps with a rising learning rate, instead of a share. RMSprop's first step without it "
        "is ten times the learning rate.",
    )
    optimizer: Literal["adamw", "rmsprop"] = Field("adamw", description="Optimizer.")
    batch_size: int = Field(
        16, ge=1, le=65536, description="Pairs per optimizer step, with gradient accumulation if needed."
    )
    micro_batch_size: int = Field(8, ge=1, le=4096, description="Pairs per forward pass.")
    epochs: float = Field(1.0, gt=0, le=100, description="Passes over the pairs.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout during training.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradient clipping threshold; 0: off.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay.")
    save_steps: int = Field(200, ge=1, description="Steps between checkpoints for resuming.")
    gradient_checkpointing: bool = Field(False, description=GRADIENT_CHECKPOINTING)
    lora: LoraConfig | None = Field(None, description="Empty: train all weights.")
    early_stopping: EarlyStoppingConfig | None = Field(None, description="Empty: train to the last step.")
    mix_previous: bool = Field(False, description="Train on the pairs of all iterations so far, not only the latest.")

    def most_pairs(self, iteration: int) -> int | None:
        """Return the maximum number of training pairs of an iteration, counted from 1; ``None``: all."""
        counts = self.pairs_by_iteration
        return counts[iteration - 1] if iteration <= len(counts) else self.max_pairs

    @property
    def most_pairs_of_any(self) -> int | None:
        """The maximum number of training pairs of the largest iteration; ``None``: all."""
        return max(self.pairs_by_iteration, default=self.max_pairs)

    @property
    def is_positive_only(self) -> bool:
        """Whether training uses the chosen responses only."""
        return self.method == "positive_only"

    @property
    def refines(self) -> bool:
        """Whether the loss uses Δ and λ."""
        return self.method == "preference" and self.loss in LOSSES and LOSSES[self.loss].is_refined

    @property
    def chooses_lambda(self) -> bool:
        """Whether λ is selected on the held-out pairs."""
        return self.refines and self.lam == "auto"
