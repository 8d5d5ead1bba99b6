"""Which fields of the launch form have an effect, given the values of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from training.config import MODEL_ROLES, RunConfig, dataset_fields
from training.domain.engine_kinds import ENGINE_FIELDS, ENGINES, TEACHER_FIELDS
from training.domain.loss_specs import LOSS_FIELDS, LOSSES

#: The fields that name data sets.
DATASETS: Final = dataset_fields(RunConfig)


def applying(value: Mapping[str, Any]) -> dict[str, bool]:
    """Return for each field whether it has an effect. In ``value``, a number is true unless it is 0."""
    sft, evaluation = value["sft.enabled"], value["evaluation.enabled"]
    rounds = bool(value["iterations"])
    ready_pairs = bool(value["pairs.from_dataset"])
    ready_responses = bool(value["candidates.from_dataset"])
    makes = rounds and not ready_pairs
    judges = makes and value["paradigm"] != "teacher_demonstration" and not value["judging.recorded_scores"]
    judges = judges or bool(sft and value["eft.enabled"])
    found: dict[str, bool] = {}
    for path in value:
        section, _, leaf = path.partition(".")
        applies = True
        if section == "prompts":
            applies = makes and not ready_responses
            if leaf in ("temperature", "top_p", "writer", "writer_model", "template"):
                applies = applies and value["prompts.source"] == "self_instruct"
            if leaf == "writer_model":
                applies = applies and value["prompts.writer"] == "model"
        elif section == "candidates":
            applies = makes and (leaf == "from_dataset" or not ready_responses)
        elif section == "judging":
            applies = makes and ready_responses if leaf == "recorded_scores" else judges
        elif section in ("pairs", "review", "training"):
            applies = rounds and (section != "pairs" or leaf == "from_dataset" or not ready_pairs)
        found[path] = applies
    stopping = str(value["training.early_stopping.judge"]) if rounds and value["training.early_stopping"] else ""
    asked = {
        "teacher": True,
        "evaluator": bool(evaluation) or stopping == "evaluator",
        "stopping_judge": stopping == "own",
    }
    entries = {role: ENGINES.get(str(value[f"{role}.kind"])) for role in MODEL_ROLES}
    for role in MODEL_ROLES[1:]:
        entry = entries[role]
        for path in value:
            if path.partition(".")[0] == role:
                found[path] = asked[role] and (path == f"{role}.kind" or bool(entry and entry.implementation))
    for role in MODEL_ROLES:
        entry = entries[role]
        for leaf in TEACHER_FIELDS:
            if f"{role}.{leaf}" in value:
                found[f"{role}.{leaf}"] = asked[role] and entry is not None and leaf in entry.teacher_fields
    is_paid = any(asked[role] and (entry := entries[role]) and entry.is_remote for role in MODEL_ROLES)
    found["teacher.budget_tokens"] = found["teacher.budget_usd"] = is_paid
    engine = ENGINES.get(str(value["engine.kind"]))
    for leaf in ENGINE_FIELDS:
        found[f"engine.{leaf}"] = engine is not None and leaf in engine.engine_fields
    by_pairs = rounds and value["training.method"] == "preference"
    found["training.loss"] = found["training.lora"] = by_pairs
    loss = LOSSES.get(str(value["training.loss"]))
    for name in LOSS_FIELDS:
        found[f"training.{name}"] = by_pairs and loss is not None and name in loss.fields
    found["training.refinement_prompt"] = found["training.lam"]
    found["training.seed_rows"] = found["training.min_chosen_score"] = rounds and not by_pairs
    measures_margins = rounds and bool(value["training.held_out_pairs"])
    found["training.beta"] = found["training.beta"] or measures_margins
    for path in value:
        part = path.rpartition(".")[0]
        if part == "sft" and path != "sft.enabled":
            found[path] = bool(sft)
        elif part == "eft":
            found[path] = bool(sft) and (path == "eft.enabled" or bool(value["eft.enabled"]))
        elif part == "evaluation" and path != "evaluation.enabled":
            found[path] = bool(evaluation)
        elif part == "training.lora":
            found[path] = by_pairs and bool(value["training.lora"])
        elif part == "training.early_stopping":
            found[path] = rounds and bool(value["training.early_stopping"])
    found |= {path: ref.applies(value.__getitem__) for path, ref in DATASETS.items()}
    found["evaluation.self_judge_prompts"] = bool(evaluation and value["evaluation.self_judge"])
    return found
