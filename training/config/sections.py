"""The parts of a run before and beside preference training; each field carries its own help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from training.config.base import GRADIENT_CHECKPOINTING, Probability, Section, Temperature
from training.config.datasets import DatasetRef
from training.domain.engine_kinds import STUDENT_ENGINES, TEACHERS, is_remote, key_variables
from training.domain.score_rule import ScoreRule

KeyName = Annotated[str, Field(max_length=60, pattern=r"^[\w.-]*$")]
SafetyThreshold = Literal[
    "", "off", "block_none", "block_only_high", "block_medium_and_above", "block_low_and_above"
]  # fmt: skip
Corrections = Literal["none", "same_data", "all"]
# A type checker reads plain strings; pydantic, the form and the API's schema read the choices from the entries.
if TYPE_CHECKING:
    EngineKind = str
    TeacherKind = str
else:
    EngineKind = Literal[STUDENT_ENGINES]
    TeacherKind = Literal[TEACHERS]


class StudentConfig(Section):
    """The model that is aligned."""

    model: str = Field(min_length=1, description="M0: a model name on a hub, or a path to a folder on this machine.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the weights. Auto: as stored on a GPU, float32 on a CPU."
    )
    max_length: int = Field(1024, ge=32, le=131072, description="Tokens that prompt and completion may take together.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Leave off.")


class EngineConfig(Section):
    """What generates the student's text."""

    kind: EngineKind = Field(
        "transformers", description="transformers in process, vLLM in process, or an OpenAI-compatible server."
    )
    batch_size: int = Field(
        64, ge=1, le=4096, description="Completions generated together; requests in flight to a server."
    )
    base_url: str = Field("", description="Address of the server, for openai_compatible.")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs that share one model, for vLLM.")
    key: KeyName = Field("", description="Name of a stored key for the server; empty: the environment's, or none.")

    @property
    def is_remote(self) -> bool:
        """Whether the student's text comes over a network."""
        return is_remote(self.kind)


class TeacherConfig(Section):
    """Who judges or demonstrates beside the student, and who judges the evaluation."""

    kind: TeacherKind = Field(
        "none",
        description="The oracle knows the miniature alone; Gemini and most servers need a key.",
    )
    model: str = Field("", description="Model name or path; empty for oracle.")
    base_url: str = Field("", description="Address of the server, for openai_compatible. Empty for Gemini: Google's.")
    key: KeyName = Field(
        "", description=f"Name of a key that an admin stored under Keys; empty: {' or '.join(key_variables())}."
    )
    concurrency: int = Field(4, ge=1, le=256, description="Requests in flight at once.")
    timeout: float = Field(120, ge=1, le=3600, description="Seconds until a request without an answer is asked again.")
    system: str = Field("", max_length=20_000, description="System text before every request to a remote teacher.")
    safety: SafetyThreshold = Field(
        "", description="Gemini: what its safety filters block, in every category. Empty: as Google sets it."
    )
    budget_tokens: int | None = Field(
        None,
        ge=1,
        description="The run pauses before a remote teacher has used more tokens, read and written, than this.",
    )
    budget_usd: float | None = Field(
        None, gt=0, description="The run pauses before a remote teacher has cost more than this. Needs both prices."
    )
    prompt_price: float | None = Field(
        None,
        ge=0,
        description="What the provider asks today, in USD for a million tokens read. Look at its price list.",
    )
    completion_price: float | None = Field(
        None, ge=0, description="The same for a million tokens written, thoughts included."
    )

    @property
    def exists(self) -> bool:
        """Whether the run has a teacher."""
        return self.kind != "none"

    @property
    def is_remote(self) -> bool:
        """Whether the teacher answers over a network, and may be paid for."""
        return is_remote(self.kind)

    @property
    def label(self) -> str:
        """The teacher's model; its kind where it has no model name."""
        return self.model or self.kind


class SFTConfig(Section):
    """M0 to M1: supervised fine-tuning on IFT + EFT, loss on target tokens only (001 section 3.1.3)."""

    enabled: bool = Field(
        True, description="Train M1 from M0. Off: the student is M1 as it is, already instruction-tuned."
    )
    datasets: Annotated[tuple[str, ...], DatasetRef(kinds=("demonstrations",), when=("sft.enabled",))] = Field(
        (), description="Names of data sets with prompt-response rows (IFT, EFT), mixed."
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="At most so many rows of the data sets, a share of each; EFT's and people's come on top. "
        "Empty: all.",
    )
    corrections: Corrections = Field(
        "none", description="Also train the judge on people's scores with their reasons; held-out prompts stay out."
    )
    corrections_repeat: int = Field(1, ge=1, le=100, description="How often each of those scores is in an epoch.")
    learning_rate: float = Field(5.5e-6, gt=0, le=1, description="Peak learning rate.")
    final_learning_rate: float = Field(1.1e-6, ge=0, le=1, description="Learning rate at the last step.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Shape of the decay.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of the steps that warm up.")
    optimizer: Literal["adamw", "rmsprop"] = Field("adamw", description="Optimizer.")
    batch_size: int = Field(16, ge=1, le=65536, description="Rows an optimizer step, by accumulation where needed.")
    micro_batch_size: int = Field(16, ge=1, le=4096, description="Rows that are on the device at once.")
    epochs: float = Field(1.0, gt=0, le=100, description="Times through the data.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout while training.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradient norm above which it is scaled down; 0 is off.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay.")
    save_steps: int = Field(200, ge=1, description="A checkpoint to resume from every so many steps.")
    gradient_checkpointing: bool = Field(False, description=GRADIENT_CHECKPOINTING)


class EFTConfig(Section):
    """Rows that teach the student to judge, built from responses that people ranked (001 section 3.1.1)."""

    enabled: bool = Field(
        False,
        description="M0 is fine-tuned on the data sets above alone and judges the ranked responses; what agrees with "
        "people is added before M1 is trained.",
    )
    dataset: Annotated[
        str,
        DatasetRef(
            kinds=("scored",),
            when=("sft.enabled", "eft.enabled"),
            required="name a data set of prompts with ranked responses, or turn eft.enabled off",
        ),
    ] = Field("", description="Name of a data set of prompts with ranked responses.")
    k: int = Field(
        1,
        ge=1,
        le=64,
        description="Judgements sampled a response: each draw is a ranking, the first that agrees counts.",
    )
    most_common_share: Probability = Field(
        0.4, description="Share of the training rows that the most common score may have; the rest of it is discarded."
    )
    eval_share: float = Field(
        0.25, ge=0, lt=1, description="Share of the prompts held out to measure judging on; 001 kept 531 rows of 2,161."
    )


class PromptsConfig(Section):
    """The prompts of an iteration."""

    source: Literal["dataset", "self_instruct"] = Field(
        "dataset", description="From a data set, or new ones written by the model from few-shot demonstrations."
    )
    dataset: Annotated[
        str,
        DatasetRef(
            when=("iterations", "!pairs.from_dataset", "!candidates.from_dataset"),
            required="name a data set with prompts (for self-instruct: with seed tasks)",
        ),
    ] = Field("", description="Name of the data set with prompts; for self-instruct, the seed tasks.")
    writer: Literal["student", "teacher", "model"] = Field(
        "student", description="Self-instruct: who writes. The seed paper takes a fixed model, other than the student."
    )
    writer_model: str = Field("", description="Self-instruct by a fixed model: its hub name, or its folder here.")
    template: Literal["few_shot", "single_instruction"] = Field(
        "few_shot",
        description="Self-instruct: six seed tasks and two new ones (001 3.1.3), or one bare instruction (000 fig. 2).",
    )
    count: int = Field(
        250, ge=1, le=1_000_000, description="Prompts an iteration. Each iteration takes fresh ones first."
    )
    temperature: Temperature = Field(0.6, description="Self-instruct: sampling temperature (001 section 3.1.3).")
    top_p: Probability = Field(0.9, description="Self-instruct: nucleus (001 section 3.1.3).")


class CandidatesConfig(Section):
    """N responses a prompt (001 section 2.2)."""

    n: int = Field(4, ge=1, le=64, description="Responses a prompt. Two or more, except for demonstrations.")
    temperature: Temperature = Field(0.7, description="Sampling temperature.")
    top_p: Probability = Field(0.9, description="Nucleus: smallest set of tokens with this probability.")
    max_new_tokens: int = Field(256, ge=1, le=32768, description="Longest response, in tokens.")
    short_answers: bool = Field(
        False,
        description="The student sees each prompt in a frame that asks for 256 characters at most (000 fig. 3).",
    )
    from_dataset: Annotated[str, DatasetRef(kinds=("scored",), when=("iterations", "!pairs.from_dataset"))] = Field(
        "", description="Take prompts, responses and recorded scores from this data set instead of generating."
    )


class JudgingConfig(Section):
    """LLM-as-a-judge: k sampled judgements, averaged over those that parsed (001 figure 2)."""

    template: str = Field(
        "additive_5",
        min_length=1,
        description="The judge: prompt, parser and scale. The newest version; name@2 keeps to one.",
    )
    k: int = Field(3, ge=1, le=64, description="Judgements sampled a response.")
    temperature: Temperature = Field(0.7, description="Sampling temperature of the judge.")
    top_p: Probability = Field(0.9, description="Nucleus of the judge.")
    max_new_tokens: int = Field(200, ge=1, le=8192, description="Longest judgement, in tokens.")
    recorded_scores: Literal["", "self", "teacher"] = Field(
        "", description="With responses from a data set: use its recorded scores of this source. Empty: judge anew."
    )
    min_parse_rate: float = Field(
        0.5, ge=0, le=1, description="The run stops with the reason when fewer of the replies hold a score."
    )
    min_replies: int = Field(30, ge=1, description="Replies seen before the parse rate is acted upon.")

    def score_rule(self, paradigm: str) -> ScoreRule:
        """Whose scores a run's pairs follow. Which row is the judge is known once it judges."""
        by_self = (self.recorded_scores or paradigm.split("_")[0]) == "self"
        return ScoreRule("self" if by_self else "teacher")


class PairsConfig(Section):
    """Highest against lowest score, discarded where equal (001 section 2.3)."""

    rule: Literal["max_min", "random"] = Field(
        "max_min", description="Highest against lowest is the papers'; the control has the same pairs in a drawn order."
    )
    min_margin: float = Field(0.0, ge=0, le=5, description="Pairs with a smaller score difference are left out.")
    from_dataset: Annotated[str, DatasetRef(kinds=("preferences",), when=("iterations",))] = Field(
        "", description="Take ready preference pairs from this data set; nothing is generated."
    )


class ReviewConfig(Section):
    """People confirm or override pairs before the training set is frozen."""

    enabled: bool = Field(False, description="The run waits after the pairs until a lead lets it train.")


class EvaluationConfig(Section):
    """What is measured on every checkpoint, on prompts that no training sees."""

    enabled: bool = Field(True, description="Each model answers held-out prompts and is held against the one before.")
    dataset: Annotated[
        str,
        DatasetRef(
            when=("evaluation.enabled",), required="name a data set with held-out prompts, or turn evaluation off"
        ),
    ] = Field("", description="Name of the data set with held-out prompts.")
    count: int = Field(200, ge=1, le=100_000, description="Held-out prompts answered by each checkpoint.")
    pairs: Annotated[str, DatasetRef(kinds=("preferences",), when=("iterations", "evaluation.enabled"))] = Field(
        "",
        description="Name of a data set with preference pairs that no training sees: margin and accuracy on as many of "
        "them as count says, and the margin's correlation with their scores. Empty: none.",
    )
    temperature: Temperature = Field(0.0, description="Sampling temperature of the answers; 0 is greedy.")
    top_p: Probability = Field(1.0, description="Nucleus of the answers.")
    max_new_tokens: int = Field(256, ge=1, le=32768, description="Longest answer, in tokens.")
    judge: str = Field(
        "pairwise", min_length=1, description="The judge that compares a checkpoint's answers with those of the last."
    )
    self_judge: bool = Field(
        True,
        description="Measure the student's own judging: parse rate and pairwise accuracy; with EFT, how it orders the "
        "ranked responses that were held out.",
    )
    self_judge_prompts: int = Field(
        100,
        ge=1,
        description="Held-out prompts whose sampled responses it judges; with EFT, as many ranked ones at most.",
    )
    held_to_people: bool = Field(
        True, description="Each model, and the teacher, judges what people scored blind in held-out queues."
    )
    stop_on_drift: bool = Field(
        False, description="The run pauses when a model gives itself more while it agrees with people less."
    )
