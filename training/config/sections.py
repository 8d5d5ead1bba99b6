"""Config sections other than preference training. Field descriptions are help texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from training.config.base import GRADIENT_CHECKPOINTING, Probability, Section, Temperature
from training.config.datasets import DatasetRef
from training.config.models import KeyName
from training.domain.engine_kinds import STUDENT_ENGINES, is_remote
from training.domain.score_rule import ScoreRule

Corrections = Literal["none", "same_data", "all"]
# Type checkers need a plain string; pydantic, the form and the API schema take the choices from the registry.
if TYPE_CHECKING:
    EngineKind = str
else:
    EngineKind = Literal[STUDENT_ENGINES]


class StudentConfig(Section):
    """The model to align."""

    model: str = Field(
        min_length=1, description="M0: a model name on the Hugging Face hub, or a folder on this machine."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Data type of the weights. Auto: as stored on a GPU, float32 on a CPU."
    )
    max_length: int = Field(1024, ge=32, le=131072, description="Maximum number of tokens of prompt and completion.")
    trust_remote_code: bool = Field(
        False, description="Run Python code from the model repository. Only for trusted models."
    )


class EngineConfig(Section):
    """The engine that generates the student's text."""

    kind: EngineKind = Field(
        "transformers", description="transformers or vLLM in the worker process, or an OpenAI-compatible server."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Completions per batch, or concurrent requests to a server.")
    base_url: str = Field("", description="Address of the server, for openai_compatible.")
    tensor_parallel: int = Field(1, ge=1, le=64, description="vLLM: number of GPUs per model.")
    key: KeyName = Field("", description="Name of the stored API key. Empty: from the environment, or none.")

    @property
    def is_remote(self) -> bool:
        """Whether the student is called over a network."""
        return is_remote(self.kind)


class SFTConfig(Section):
    """Supervised fine-tuning from M0 to M1 on IFT and EFT data (Yuan et al., 2024, section 3.1.3).

    The loss is computed on target tokens only.
    """

    enabled: bool = Field(
        True, description="Train M1 from M0. Off: the student is already instruction-tuned and is M1."
    )
    datasets: Annotated[tuple[str, ...], DatasetRef(kinds=("demonstrations",), when=("sft.enabled",))] = Field(
        (), description="Data sets with prompt-response rows (IFT, EFT), which are mixed."
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Maximum number of rows from the data sets, in proportion; EFT rows and corrections are extra. "
        "Empty: all.",
    )
    corrections: Corrections = Field(
        "none", description="Also train on people's scores with reasons, except those of held-out prompts."
    )
    corrections_repeat: int = Field(1, ge=1, le=100, description="Occurrences of each correction per epoch.")
    learning_rate: float = Field(5.5e-6, gt=0, le=1, description="Peak learning rate.")
    final_learning_rate: float = Field(1.1e-6, ge=0, le=1, description="Learning rate at the last step.")
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
        16, ge=1, le=65536, description="Rows per optimizer step, with gradient accumulation if needed."
    )
    micro_batch_size: int = Field(16, ge=1, le=4096, description="Rows per forward pass.")
    epochs: float = Field(1.0, gt=0, le=100, description="Passes over the data.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout during training.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradient clipping threshold; 0: off.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay.")
    save_steps: int = Field(200, ge=1, description="Steps between checkpoints for resuming.")
    gradient_checkpointing: bool = Field(False, description=GRADIENT_CHECKPOINTING)


class EFTConfig(Section):
    """Evaluation fine-tuning: rows that teach judging, from responses that people ranked (Yuan et al., 2024, 3.1.1)."""

    enabled: bool = Field(
        False,
        description="First fine-tune M0 on the data sets above and let it judge ranked responses. Those that agree "
        "with people are added to the training data of M1.",
    )
    dataset: Annotated[
        str,
        DatasetRef(
            kinds=("scored",),
            when=("sft.enabled", "eft.enabled"),
            required="name a data set of prompts with ranked responses, or turn off eft.enabled",
        ),
    ] = Field("", description="Data set of prompts with ranked responses.")
    k: int = Field(
        1,
        ge=1,
        le=64,
        description="Judgements sampled per response. Each draw is a ranking; the first that agrees is used.",
    )
    most_common_share: Probability = Field(
        0.4, description="Maximum share of the most common score in the training rows; excess rows are discarded."
    )
    eval_share: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the prompts held out to evaluate judging; Yuan et al. (2024): 531 of 2,161 rows.",
    )


class PromptsConfig(Section):
    """The prompts of an iteration."""

    source: Literal["dataset", "self_instruct"] = Field(
        "dataset", description="Prompts of a data set, or new prompts written by a model (self-instruct)."
    )
    dataset: Annotated[
        str,
        DatasetRef(
            when=("iterations", "!pairs.from_dataset", "!candidates.from_dataset"),
            required="name a data set with prompts (for self-instruct: with seed tasks)",
        ),
    ] = Field("", description="Data set with prompts; for self-instruct, with seed tasks.")
    writer: Literal["student", "teacher", "model"] = Field(
        "student", description="Self-instruct: the model that writes the prompts. Yuan et al. (2024) use a fixed one."
    )
    writer_model: str = Field("", description="Fixed model that writes prompts: hub name, or folder on this machine.")
    template: Literal["few_shot", "single_instruction"] = Field(
        "few_shot",
        description="Self-instruct: eight demonstrations (Yuan et al., 2024, section 3.1.3), or a single instruction "
        "(Luo et al., figure 2).",
    )
    count: int = Field(
        250, ge=1, le=1_000_000, description="Prompts per iteration. Unused prompts of the data set come first."
    )
    temperature: Temperature = Field(0.6, description="Self-instruct: sampling temperature.")
    top_p: Probability = Field(0.9, description="Self-instruct: nucleus sampling.")


class CandidatesConfig(Section):
    """N sampled responses per prompt (Yuan et al., 2024, section 2.2)."""

    n: int = Field(4, ge=1, le=64, description="Responses per prompt. Two or more, except for demonstrations.")
    temperature: Temperature = Field(0.7, description="Sampling temperature.")
    top_p: Probability = Field(0.9, description="Nucleus sampling: smallest set of tokens with this probability.")
    max_new_tokens: int = Field(256, ge=1, le=32768, description="Maximum length of a response in tokens.")
    short_answers: bool = Field(
        False,
        description="Ask the student for at most 256 characters (Luo et al., figure 3).",
    )
    from_dataset: Annotated[str, DatasetRef(kinds=("scored",), when=("iterations", "!pairs.from_dataset"))] = Field(
        "", description="Use the prompts, responses and recorded scores of this data set instead of generating."
    )


class JudgingConfig(Section):
    """LLM-as-a-judge: k sampled judgements, averaged over those that parsed (Yuan et al., 2024, figure 2)."""

    template: str = Field(
        "additive_5",
        min_length=1,
        description="The judge: prompt, parser and scale. name@2 selects a version; the default is the newest.",
    )
    k: int = Field(3, ge=1, le=64, description="Judgements sampled per response.")
    temperature: Temperature = Field(0.7, description="Sampling temperature of the judge.")
    top_p: Probability = Field(0.9, description="Nucleus sampling of the judge.")
    max_new_tokens: int = Field(200, ge=1, le=8192, description="Maximum length of a judgement in tokens.")
    recorded_scores: Literal["", "self", "teacher"] = Field(
        "", description="Use the recorded scores of this source from the data set. Empty: judge the responses."
    )
    min_parse_rate: float = Field(
        0.5, ge=0, le=1, description="Minimum share of replies with a score. The run stops if it is lower."
    )
    min_replies: int = Field(30, ge=1, description="Minimum number of replies before the parse rate is checked.")

    def score_rule(self, paradigm: str) -> ScoreRule:
        """Return the rule for the pairs' scores. The judge's row is added when it starts judging."""
        by_self = (self.recorded_scores or paradigm.split("_")[0]) == "self"
        return ScoreRule("self" if by_self else "teacher")


class PairsConfig(Section):
    """Pairs of the highest and the lowest scored response, if they differ (Yuan et al., 2024, section 2.3)."""

    rule: Literal["max_min", "random"] = Field(
        "max_min",
        description="max_min pairs highest and lowest score; random shuffles the order of these pairs (control).",
    )
    min_margin: float = Field(0.0, ge=0, le=5, description="Minimum score difference of a pair, in points.")
    from_dataset: Annotated[str, DatasetRef(kinds=("preferences",), when=("iterations",))] = Field(
        "", description="Use the preference pairs of this data set instead of generating."
    )


class ReviewConfig(Section):
    """Review of the pairs by people before the training set is frozen."""

    enabled: bool = Field(False, description="Pause after the pairs until a lead starts the training.")


class EvaluationConfig(Section):
    """Evaluation of every checkpoint on held-out prompts."""

    enabled: bool = Field(
        True, description="Each model answers held-out prompts and is compared with the previous one."
    )
    dataset: Annotated[
        str,
        DatasetRef(
            when=("evaluation.enabled",),
            required="name a data set with held-out prompts, or turn off evaluation.enabled",
            measures=True,
        ),
    ] = Field("", description="Data set with held-out prompts.")
    count: int = Field(
        200, ge=1, le=100_000, description="Number of held-out prompts, drawn at random from the whole data set."
    )
    prompt_seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Random seed of this draw and of that of early stopping. Runs with the same value have the same "
        "prompts, whatever their seed.",
    )
    pairs: Annotated[
        str, DatasetRef(kinds=("preferences",), when=("iterations", "evaluation.enabled"), measures=True)
    ] = Field(
        "",
        description="Data set with held-out preference pairs, for margin, accuracy and the correlation of margins with "
        "scores. At most count pairs are used. Empty: none.",
    )
    temperature: Temperature = Field(0.0, description="Sampling temperature of the answers; 0: greedy.")
    top_p: Probability = Field(1.0, description="Nucleus sampling of the answers.")
    max_new_tokens: int = Field(256, ge=1, le=32768, description="Maximum length of an answer in tokens.")
    judge: str = Field(
        "pairwise",
        min_length=1,
        description="The judge prompt that compares the answers of a checkpoint with those of the previous one.",
    )
    self_judge: bool = Field(
        True,
        description="Evaluate the student as a judge: parse rate and pairwise accuracy; with EFT, agreement with "
        "held-out rankings.",
    )
    self_judge_prompts: int = Field(
        100,
        ge=1,
        description="Number of prompts for self_judge; with EFT, maximum number of ranked prompts.",
    )
    held_to_people: bool = Field(
        True, description="Measure judge–human agreement of each model and the teacher on held-out queues."
    )
    stop_on_drift: bool = Field(
        False, description="Pause if a model scores itself higher while it agrees with people less."
    )
