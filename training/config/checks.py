"""Fields that are each valid and together make no run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from training.config.datasets import datasets
from training.domain.engine_kinds import ENGINES
from training.domain.judges import split_reference

if TYPE_CHECKING:
    from training.config.run import RunConfig


def cross_field_problems(config: RunConfig) -> list[tuple[str, str]]:
    """Fields that are each valid and together make no run: (dotted field, sentence)."""
    found: list[tuple[str, str]] = []
    teacher = config.teacher
    needs_teacher = config.judges_candidates or (config.demonstrates and not config.uses_ready_pairs)
    if config.paradigm != "self_reward" and not teacher.exists and needs_teacher:
        found.append(("teacher.kind", f"{config.paradigm} needs a teacher: choose one, or take self_reward"))
    if "model" in ENGINES[teacher.kind].required and not teacher.model:
        found.append(("teacher.model", f"a teacher of kind {teacher.kind} needs a model name"))
    for name, kind, address in (
        ("teacher", teacher.kind, teacher.base_url),
        ("engine", config.engine.kind, config.engine.base_url),
    ):
        if "base_url" in ENGINES[kind].required and not address:
            found.append((f"{name}.base_url", "give the address of the server, for example http://127.0.0.1:8001/v1"))
    for name, address in (("teacher", teacher.base_url), ("engine", config.engine.base_url)):
        if problem := _bad_address(address):
            found.append((f"{name}.base_url", problem))
    for field, reference in config.judges().items():
        try:
            split_reference(reference)
        except ValueError as error:
            found.append((field, str(error)))
    if config.prompts.source == "self_instruct":
        if config.prompts.writer == "teacher" and not ENGINES[teacher.kind].writes_prompts:
            found.append(("prompts.writer", "this teacher writes no prompts; choose another writer or another teacher"))
        if config.prompts.writer == "model" and not config.prompts.writer_model:
            found.append(("prompts.writer_model", "name the model that writes the prompts, or let the student do it"))
    prices = (teacher.prompt_price, teacher.completion_price)
    if teacher.budget_usd is not None and None in prices:
        field = "teacher.prompt_price" if prices[0] is None else "teacher.completion_price"
        found.append((field, "a budget in money needs the provider's prices; look them up and state both"))
    if config.sft.enabled and not config.sft.datasets and config.sft.corrections == "none":
        found.append(("sft.datasets", "name at least one data set, or turn supervised fine-tuning off"))
    if config.eft.enabled and not config.sft.enabled:
        found.append(("eft.enabled", "needs supervised fine-tuning, whose model judges; turn sft.enabled on"))
    for name, section in (("sft", config.sft), ("training", config.training)):
        if section.final_learning_rate > section.learning_rate:
            found.append((f"{name}.final_learning_rate", "must not be above the peak learning rate"))
        if section.batch_size % section.micro_batch_size and section.micro_batch_size < section.batch_size:
            found.append((f"{name}.batch_size", "must be a multiple of micro_batch_size, so that steps are equal"))
    makes_pairs_by_score = config.iterations > 0 and config.makes_candidates and not config.demonstrates
    if makes_pairs_by_score and config.candidates.n < 2:
        found.append(("candidates.n", "two or more responses are needed to make a pair by score"))
    if config.judging.recorded_scores and not config.candidates.from_dataset:
        found.append(
            ("judging.recorded_scores", "recorded scores come with candidates.from_dataset; name the data set")
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
            found.append((field, "must be below student.max_length, which the prompt shares"))
    if config.evaluation.stop_on_drift and not (config.evaluation.self_judge and config.evaluation.held_to_people):
        found.append(("evaluation.stop_on_drift", "needs self_judge and held_to_people, which measure the drift"))
    lora = config.training.lora
    if lora and lora.quantize_4bit and config.student.dtype == "float32":
        found.append(("training.lora.quantize_4bit", "4-bit weights need student.dtype auto or bfloat16"))
    found += [
        (named.field, named.ref.required)
        for named in datasets(config)
        if named.ref.required and named.applies and not named.names
    ]
    found += _of_training(config)
    return found


def _of_training(config: RunConfig) -> list[tuple[str, str]]:
    """What does not go together within preference training."""
    training = config.training
    found: list[tuple[str, str]] = []
    if training.chooses_lambda and not training.held_out_pairs:
        found.append(
            ("training.held_out_pairs", "lam: auto chooses λ on held-out pairs; set some aside, 50 in the paper")
        )
    if training.is_positive_only and training.lora:
        found.append(("training.lora", "positive_only trains all weights; turn LoRA off"))
    stopping, place = training.early_stopping, "training.early_stopping"
    if stopping is None or not config.iterations:
        return found
    if stopping.judge == "teacher" and not config.teacher.exists:
        found.append((f"{place}.judge", "there is no teacher to compare; choose one, or self"))
    if stopping.min_decided > stopping.count:
        found.append((f"{place}.min_decided", "must not be above count, or no comparison ever decides"))
    if training.chooses_lambda:
        found.append((place, "with lam: auto each λ is trained to its end; set λ by hand, or turn early stopping off"))
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
        return "must hold no name or password, since everybody sees it; an admin stores keys under Keys"
    return ""
