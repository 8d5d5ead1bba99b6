"""Cross-field validation of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from training.config.datasets import datasets
from training.config.models import MODEL_ROLES, ModelConfig
from training.domain.engine_kinds import ENGINES
from training.domain.judges import split_reference

if TYPE_CHECKING:
    from training.config.run import RunConfig


def cross_field_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Return (dotted field, message) for each combination of valid fields that contradict each other."""
    problems: list[tuple[str, str]] = []
    teacher = config.teacher
    needs_teacher = config.judges_candidates or (config.demonstrates and not config.uses_ready_pairs)
    if config.paradigm != "self_reward" and not teacher.exists and needs_teacher:
        problems.append(("teacher.kind", f"{config.paradigm} needs a teacher; choose one, or use self_reward"))
    problems += _verifier_problems(config)
    for role, model in _named_models(config):
        if "model" in model.entry.required and not model.model:
            problems.append((f"{role}.model", f"is required for {_ONE[role]} of kind {model.kind}"))
    for name, entry, address in (
        *((role, model.entry, model.base_url) for role, model in _named_models(config)),
        ("engine", ENGINES[config.engine.kind], config.engine.base_url),
    ):
        if "base_url" in entry.required and not address:
            problems.append(
                (f"{name}.base_url", "is required: the address of the server, for example http://127.0.0.1:8001/v1")
            )
        if problem := _bad_address(address):
            problems.append((f"{name}.base_url", problem))
    for field, reference in config.judges().items():
        try:
            split_reference(reference)
        except ValueError as error:
            problems.append((field, str(error)))
    if config.prompts.source == "self_instruct":
        if config.prompts.writer == "teacher" and not ENGINES[teacher.kind].writes_prompts:
            problems.append(("prompts.writer", "this teacher cannot write prompts; choose another writer or teacher"))
        if config.prompts.writer == "model" and not config.prompts.writer_model:
            problems.append(
                (
                    "prompts.writer_model",
                    "is required: the model that writes the prompts; or choose the student as writer",
                )
            )
    paid: list[tuple[str, ModelConfig]] = [(role, one) for role, one in config.models().items() if one.is_remote]
    for role, model in (paid or [("teacher", teacher)]) if teacher.budget_usd is not None else []:
        missing = [name for name in ("prompt_price", "completion_price") if getattr(model, name) is None]
        if missing:
            problems.append((f"{role}.{missing[0]}", "a budget in USD needs both prices of the provider"))
    if config.sft.enabled and not config.sft.datasets and config.sft.corrections == "none":
        problems.append(("sft.datasets", "name at least one data set, or turn off sft.enabled"))
    if config.eft.enabled and not config.sft.enabled:
        problems.append(("eft.enabled", "needs supervised fine-tuning; turn on sft.enabled"))
    for name, section in (("sft", config.sft), ("training", config.training)):
        if section.final_learning_rate > section.learning_rate:
            problems.append((f"{name}.final_learning_rate", "must not be above the peak learning rate"))
        if section.warmup_steps and section.warmup_ratio:
            problems.append((f"{name}.warmup_steps", "cannot be combined with warmup_ratio; set one of them to 0"))
        if section.batch_size % section.micro_batch_size and section.micro_batch_size < section.batch_size:
            problems.append((f"{name}.batch_size", "must be a multiple of micro_batch_size"))
    makes_pairs_by_score = config.iterations > 0 and config.makes_candidates and not config.demonstrates
    if makes_pairs_by_score and config.candidates.n < 2:
        problems.append(("candidates.n", "must be 2 or more to make pairs by score"))
    if config.judging.recorded_scores and not config.candidates.from_dataset:
        problems.append(
            ("judging.recorded_scores", "needs candidates.from_dataset, the data set with the recorded scores")
        )
    generates = config.makes_candidates
    judges = generates or (config.uses_recorded_responses and not config.judging.recorded_scores)
    for section_name, is_used, tokens in (
        ("candidates", generates, config.candidates.max_new_tokens),
        ("judging", judges, config.judging.max_new_tokens),
        ("evaluation", config.evaluation.enabled, config.evaluation.max_new_tokens),
    ):
        if is_used and tokens >= config.student.max_length:
            field = f"{section_name}.max_new_tokens"
            problems.append((field, "must be below student.max_length, which includes the prompt"))
    if config.evaluation.stop_on_drift and not (config.evaluation.self_judge and config.evaluation.held_to_people):
        problems.append(("evaluation.stop_on_drift", "needs self_judge and held_to_people to measure the drift"))
    lora = config.training.lora
    if lora and lora.quantize_4bit and config.student.dtype == "float32":
        problems.append(("training.lora.quantize_4bit", "4-bit weights need student.dtype auto or bfloat16"))
    problems += [
        (named.field, named.ref.required)
        for named in datasets(config)
        if named.ref.required and named.applies and not named.names
    ]
    problems += _training_problems(config)
    return problems


def _verifier_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Return a problem if a verifier is asked for what it cannot do: to write, or to score prompts without checks."""
    if not config.teacher.entry.verifies or config.uses_ready_pairs or not config.iterations:
        return []
    if config.demonstrates:
        return [
            ("teacher.kind", "a verifier scores responses and cannot write any; choose the paradigm teacher_reward")
        ]
    if config.judging_source == "teacher" and config.writes_prompts:
        return [
            ("prompts.source", "prompts of self-instruct carry no checks for the verifier; use a data set of prompts")
        ]
    return []


_ONE: Final = {"teacher": "a teacher", "evaluator": "an evaluator", "stopping_judge": "a judge of early stopping"}


def _named_models(config: RunConfig) -> list[tuple[str, ModelConfig]]:
    return [(role, config.model_of(role)) for role in MODEL_ROLES]


def _training_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Return (dotted field, message) for contradictions in the training section."""
    training = config.training
    problems: list[tuple[str, str]] = []
    if training.chooses_lambda and not training.held_out_pairs:
        problems.append(
            ("training.held_out_pairs", "lam: auto selects λ on held-out pairs; hold some out (the paper: 50)")
        )
    for field, is_set in (("seed_rows", training.seed_rows), ("min_chosen_score", training.min_chosen_score > 0)):
        if is_set and not training.is_positive_only:
            problems.append((f"training.{field}", "has an effect with training.method positive_only alone"))
    if training.seed_rows and not config.sft.enabled:
        problems.append(("training.seed_rows", "needs the rows of M1; turn on sft.enabled"))
    if len(training.pairs_by_iteration) > config.iterations > 0:
        problems.append(("training.pairs_by_iteration", f"has more numbers than iterations ({config.iterations})"))
    if training.is_positive_only and training.lora:
        problems.append(("training.lora", "positive_only trains all weights; turn off LoRA"))
    stopping, place = training.early_stopping, "training.early_stopping"
    if stopping is None or not config.iterations:
        return problems
    role = config.stopping_role
    if role != "self" and not config.model_of(role).exists:
        remedy = {
            "teacher": "needs a teacher; choose one, or use self",
            "evaluator": "needs an evaluator; choose one, or use self",
            "stopping_judge": "needs stopping_judge.kind, the model that compares",
        }[role]
        problems.append((f"{place}.judge", remedy))
    if stopping.min_decided > stopping.count:
        problems.append((f"{place}.min_decided", "must not be above count"))
    if training.chooses_lambda:
        problems.append((place, "cannot be combined with lam: auto; set λ, or turn off early stopping"))
    return problems


def _bad_address(address: str) -> str:
    """Return the problem with a server address, or "". Every user sees a config, so it must not contain a password."""
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return "must be an address like http://127.0.0.1:8001/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an address like http://127.0.0.1:8001/v1"
    if parts.username or parts.password:
        return "must not contain a user name or password, because every user sees it; an admin can store a key"
    return ""
