"""One typed, validated object behind the launch form, the YAML file, the API, the command and the estimate.

``RunConfig`` is frozen: what a run was asked to do never changes. Every field carries its own help, shown in the
form and in the API's schema. The same config in any of its forms has one ``config_hash``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from training.domain.templates import SCORE_TEMPLATES

PRESETS = Path(__file__).parent / "presets"

Paradigm = Literal["self_reward", "teacher_reward", "teacher_demonstration"]
EngineKind = Literal["transformers", "vllm", "openai_compatible"]
TeacherKind = Literal["none", "oracle", "checkpoint", "openai_compatible", "gemini"]
PAPER_LOSSES = ("dpo", "ipo", "sr_dpo", "sr_ipo")
TRL_LOSSES = (
    "trl:sigmoid", "trl:ipo", "trl:hinge", "trl:exo_pair", "trl:nca_pair", "trl:robust", "trl:bco_pair",
    "trl:sppo_hard", "trl:aot", "trl:aot_unpaired", "trl:apo_zero", "trl:apo_down", "trl:discopop",
)  # fmt: skip
LossName = Literal[
    "dpo", "ipo", "sr_dpo", "sr_ipo",
    "trl:sigmoid", "trl:ipo", "trl:hinge", "trl:exo_pair", "trl:nca_pair", "trl:robust", "trl:bco_pair",
    "trl:sppo_hard", "trl:aot", "trl:aot_unpaired", "trl:apo_zero", "trl:apo_down", "trl:discopop",
]  # fmt: skip

Probability = Annotated[float, Field(gt=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=2)]


class ConfigError(ValueError):
    """A config that cannot be used. ``problems`` holds (dotted field, sentence) pairs; "" is the whole config."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in problems))


class Section(BaseModel):
    """A part of the config: unknown fields are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, str_strip_whitespace=True, allow_inf_nan=False
    )


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
        "transformers", description="transformers in process, vLLM, or an OpenAI-compatible server."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Completions generated together.")
    base_url: str = Field("", description="Address of the server, for openai_compatible.")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs that share one model, for vLLM.")


class TeacherConfig(Section):
    """Who judges or demonstrates beside the student, and who judges the evaluation."""

    kind: TeacherKind = Field(
        "none",
        description="oracle is the miniature's; checkpoint is any local or hub model; gemini needs GEMINI_API_KEY.",
    )
    model: str = Field("", description="Model name or path; empty for oracle.")
    base_url: str = Field("", description="Address of the server, for openai_compatible.")
    concurrency: int = Field(4, ge=1, le=256, description="Requests in flight at once.")


class SFTConfig(Section):
    """M0 to M1: supervised fine-tuning on IFT + EFT, loss on target tokens only (001 section 3.1.3)."""

    enabled: bool = Field(True, description="Off: the student is already instruction-tuned and is M1 as it is.")
    datasets: tuple[str, ...] = Field((), description="Names of data sets with prompt-response rows (IFT, EFT), mixed.")
    limit: int | None = Field(None, ge=1, description="At most so many rows in all; empty takes every row.")
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


class PromptsConfig(Section):
    """The prompts of an iteration."""

    source: Literal["dataset", "self_instruct"] = Field(
        "dataset", description="From a data set, or new ones written by the model from few-shot demonstrations."
    )
    dataset: str = Field("", description="Name of the data set with prompts; for self-instruct, the seed tasks.")
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
    from_dataset: str = Field(
        "", description="Take prompts, responses and recorded scores from this data set instead of generating."
    )


class JudgingConfig(Section):
    """LLM-as-a-judge: k sampled judgements, averaged over those that parsed (001 figure 2)."""

    template: str = Field("additive_5", min_length=1, description="Judge prompt and parser.")
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


class PairsConfig(Section):
    """Highest against lowest score, discarded where equal (001 section 2.3)."""

    rule: Literal["max_min", "random"] = Field(
        "max_min", description="max_min is the papers'. random is a control: the same pairs in a drawn order."
    )
    min_margin: float = Field(0.0, ge=0, le=5, description="Pairs with a smaller score difference are left out.")
    from_dataset: str = Field("", description="Take ready preference pairs from this data set; nothing is generated.")


class ReviewConfig(Section):
    """People confirm or override pairs before the training set is frozen."""

    enabled: bool = Field(False, description="On: the run waits after the pairs until a lead lets it train.")


class LoraConfig(Section):
    """Low-rank adaptation, on top of the frozen weights."""

    rank: int = Field(16, ge=1, le=1024, description="Rank of the update.")
    alpha: float = Field(32, gt=0, description="Scale of the update.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the update.")
    quantize_4bit: bool = Field(
        False, description="QLoRA: frozen weights in 4 bits. Needs a CUDA GPU and bitsandbytes."
    )


class PreferenceConfig(Section):
    """M_t to M_t+1: the DPO family (001 section 3.1.3, 003 section 3.3)."""

    loss: LossName = Field(
        "dpo",
        description="dpo, ipo, sr_dpo and sr_ipo sum log-probabilities as the papers do; trl:ipo averages over tokens.",
    )
    beta: float = Field(0.1, gt=0, le=100, description="β: how strongly the policy is held to the reference.")
    lam: float = Field(0.3, ge=0, le=10, description="λ of the self-refined losses: weight of the refinement Δ.")
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
    lora: LoraConfig | None = Field(None, description="Empty: all weights are trained.")
    mix_previous: bool = Field(False, description="Train on the pairs of all iterations so far, not only the last.")


class EvaluationConfig(Section):
    """What is measured on every checkpoint, on prompts that no training sees."""

    enabled: bool = Field(True, description="Off: checkpoints are not evaluated.")
    dataset: str = Field("", description="Name of the data set with held-out prompts.")
    count: int = Field(200, ge=1, le=100_000, description="Held-out prompts answered by each checkpoint.")
    temperature: Temperature = Field(0.0, description="Sampling temperature of the answers; 0 is greedy.")
    top_p: Probability = Field(1.0, description="Nucleus of the answers.")
    max_new_tokens: int = Field(256, ge=1, le=32768, description="Longest answer, in tokens.")
    self_judge: bool = Field(True, description="Measure the student's own judging: parse rate and pairwise accuracy.")
    self_judge_prompts: int = Field(100, ge=1, description="Held-out prompts whose sampled responses it judges.")


class RunConfig(Section):
    """A whole alignment run: M0, supervised fine-tuning to M1, then ``iterations`` rounds of preference training."""

    name: str = Field(min_length=1, max_length=120, description="Shown in lists. Need not be unique.")
    paradigm: Paradigm = Field(
        description="Who says which response is better: the student, a teacher that scores, or a teacher that answers."
    )
    iterations: int = Field(
        2, ge=0, le=20, description="Rounds of preference training: 2 gives M2 and M3; 0 stops at M1."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Every sampled text and shuffle follows from it.")
    student: StudentConfig
    engine: EngineConfig = EngineConfig()
    teacher: TeacherConfig = TeacherConfig()
    sft: SFTConfig = SFTConfig()
    prompts: PromptsConfig = PromptsConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    judging: JudgingConfig = JudgingConfig()
    pairs: PairsConfig = PairsConfig()
    review: ReviewConfig = ReviewConfig()
    training: PreferenceConfig = PreferenceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("the name holds characters that cannot be shown; use plain text")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = list(_contradictions(self))
        if problems:
            raise ConfigError(problems)
        return self

    @classmethod
    def parse(cls, data: Any) -> RunConfig:
        """Validate a mapping. Raises :class:`ConfigError` with every problem at once, each on its field."""
        if not isinstance(data, dict):
            raise ConfigError([("", "the config must be a mapping of fields; see any preset for an example")])
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems: list[tuple[str, str]] = []
            for item in error.errors():
                cause = item.get("ctx", {}).get("error")
                problems += cause.problems if isinstance(cause, ConfigError) else [_sentence(item)]
            raise ConfigError(problems) from None

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Read a YAML document. Raises :class:`ConfigError` naming line and column where it is not YAML."""
        return cls.parse(read_yaml(text))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every field present, in the order of declaration."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The YAML that :meth:`from_yaml` reads back to an equal config."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @property
    def config_hash(self) -> str:
        """SHA-256 over the canonical JSON, without the name: two runs with one hash were asked for the same thing."""
        data = self.to_dict()
        del data["name"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _contradictions(config: RunConfig) -> list[tuple[str, str]]:
    """Fields that are each valid and together make no run: (dotted field, sentence)."""
    found: list[tuple[str, str]] = []
    teacher = config.teacher
    recorded = bool(config.judging.recorded_scores) and config.paradigm != "teacher_demonstration"
    needs_teacher = not (recorded or config.pairs.from_dataset)
    if config.paradigm != "self_reward" and teacher.kind == "none" and needs_teacher:
        found.append(("teacher.kind", f"{config.paradigm} needs a teacher: choose one, or take self_reward"))
    if teacher.kind in ("checkpoint", "gemini", "openai_compatible") and not teacher.model:
        found.append(("teacher.model", f"a teacher of kind {teacher.kind} needs a model name"))
    if teacher.kind == "openai_compatible" and not teacher.base_url:
        found.append(("teacher.base_url", "give the address of the server, for example http://127.0.0.1:8001/v1"))
    if config.engine.kind == "openai_compatible" and not config.engine.base_url:
        found.append(("engine.base_url", "give the address of the server, for example http://127.0.0.1:8001/v1"))
    for name, address in (("teacher", teacher.base_url), ("engine", config.engine.base_url)):
        if problem := _bad_address(address):
            found.append((f"{name}.base_url", problem))
    if config.judging.template not in SCORE_TEMPLATES:
        known = ", ".join(sorted(SCORE_TEMPLATES))
        found.append(("judging.template", f"there is no judge template of that name; choose one of {known}"))
    if config.sft.enabled and not config.sft.datasets:
        found.append(("sft.datasets", "name at least one data set, or turn supervised fine-tuning off"))
    for name, section in (("sft", config.sft), ("training", config.training)):
        if section.final_learning_rate > section.learning_rate:
            found.append((f"{name}.final_learning_rate", "must not be above the peak learning rate"))
        if section.batch_size % section.micro_batch_size and section.micro_batch_size < section.batch_size:
            found.append((f"{name}.batch_size", "must be a multiple of micro_batch_size, so that steps are equal"))
    if config.iterations > 0 and not config.pairs.from_dataset:
        if not config.candidates.from_dataset and not config.prompts.dataset:
            found.append(("prompts.dataset", "name a data set with prompts (for self-instruct: with seed tasks)"))
        makes_pairs_by_score = config.paradigm != "teacher_demonstration" and not config.candidates.from_dataset
        if makes_pairs_by_score and config.candidates.n < 2:
            found.append(("candidates.n", "two or more responses are needed to make a pair by score"))
    if config.judging.recorded_scores and not config.candidates.from_dataset:
        found.append(
            ("judging.recorded_scores", "recorded scores come with candidates.from_dataset; name the data set")
        )
    generates = not (config.pairs.from_dataset or config.candidates.from_dataset)
    judges = generates or (bool(config.candidates.from_dataset) and not config.judging.recorded_scores)
    for section_name, is_used, tokens in (
        ("candidates", generates, config.candidates.max_new_tokens),
        ("judging", judges, config.judging.max_new_tokens),
        ("evaluation", config.evaluation.enabled, config.evaluation.max_new_tokens),
    ):
        if is_used and tokens >= config.student.max_length:
            field = f"{section_name}.max_new_tokens"
            found.append((field, "must be below student.max_length, which the prompt shares"))
    if config.evaluation.enabled and not config.evaluation.dataset:
        found.append(("evaluation.dataset", "name a data set with held-out prompts, or turn evaluation off"))
    lora = config.training.lora
    if lora and lora.quantize_4bit and config.student.dtype == "float32":
        found.append(("training.lora.quantize_4bit", "4-bit weights need student.dtype auto or bfloat16"))
    return found


def _bad_address(address: str) -> str:
    """What is wrong with the address of a server, or nothing. A config is shown to everybody: it holds no password."""
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return "is no address; give one like http://127.0.0.1:8001/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an address like http://127.0.0.1:8001/v1"
    if parts.username or parts.password:
        return "must hold no name or password, since everybody sees it; set the key in the worker's environment"
    return ""


def _sentence(item: Any) -> tuple[str, str]:
    """A pydantic error as (dotted field, plain sentence)."""
    field = ".".join(str(part) for part in item["loc"])
    kind, text = item["type"], item["msg"]
    if kind == "extra_forbidden":
        return field, "there is no such field; check the spelling against a preset"
    if kind == "missing":
        return field, "is required"
    given = item.get("input")
    shown = f" (given: {str(given)[:60]!r})" if isinstance(given, str | int | float | bool) else ""
    return field, text.removeprefix("Value error, ").replace("Input should be", "must be") + shown


def read_yaml(text: str) -> Any:
    """Parse YAML safely. Raises :class:`ConfigError` with line and column where it is not YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            [("", f"this is not valid YAML{where}; indent with spaces and quote text with ': '")]
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([("", f"this is not valid YAML: {str(error)[:120]}")]) from None


def preset_names() -> list[str]:
    """Names of the published recipes, sorted; the miniature's first."""
    return sorted((path.stem for path in PRESETS.glob("*.yaml")), key=lambda name: ("miniature" not in name, name))


def preset_data(name: str) -> dict[str, Any]:
    """A preset as plain data. Raises :class:`ConfigError` for an unknown name."""
    if name not in preset_names():
        raise ConfigError([("preset", f"there is no preset {name!r}; choose one of {', '.join(preset_names())}")])
    data = read_yaml((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def with_overrides(data: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of ``data`` with ``section.field=value`` assignments applied; values are YAML scalars or lists."""
    merged = json.loads(json.dumps(data))
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path.strip():
            raise ConfigError([("", f"{assignment!r} is not of the form section.field=value")])
        *parents, leaf = path.strip().split(".")
        target = merged
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError([(path.strip(), "there is no such field; check the spelling against a preset")])
        target[leaf] = read_yaml(value)
    return merged


def differences(one: RunConfig, other: RunConfig) -> list[tuple[str, Any, Any]]:
    """(dotted field, value in one, value in other) for every field that differs, in order of declaration."""

    def walk(prefix: str, left: Any, right: Any) -> list[tuple[str, Any, Any]]:
        if isinstance(left, dict) and isinstance(right, dict):
            keys = list(left) + [key for key in right if key not in left]
            return [
                row for key in keys for row in walk(f"{prefix}.{key}" if prefix else key, left.get(key), right.get(key))
            ]
        return [] if left == right else [(prefix, left, right)]

    return walk("", one.to_dict(), other.to_dict())


def as_overrides(preset: str, config: RunConfig) -> list[str]:
    """The ``--set`` assignments that turn a preset into ``config``: the equal command, beside the form."""
    base = RunConfig.parse(preset_data(preset))
    return [f"{field}={json.dumps(new, ensure_ascii=False)}" for field, _, new in differences(base, config)]
