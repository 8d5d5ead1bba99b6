"""Screen texts of the launch form: titles, labels and choices, and the fields that are not collapsed."""

from __future__ import annotations

from typing import Final

from alignment_app.pages.runs import PARADIGMS
from training.domain.engine_kinds import ENGINES
from training.domain.loss_specs import LOSSES

#: Fields that are always visible; the others are under "More settings".
ESSENTIAL: Final = frozenset(
    {
        "name",
        "paradigm",
        "iterations",
        "seed",
        "student.model",
        "engine.kind",
        "engine.base_url",
        "teacher.kind",
        "teacher.model",
        "teacher.base_url",
        "teacher.key",
        "teacher.budget_tokens",
        "teacher.budget_usd",
        "teacher.prompt_price",
        "teacher.completion_price",
        "sft.enabled",
        "sft.datasets",
        "sft.corrections",
        "sft.learning_rate",
        "eft.enabled",
        "eft.dataset",
        "sft.epochs",
        "prompts.source",
        "prompts.dataset",
        "prompts.count",
        "candidates.n",
        "candidates.max_new_tokens",
        "judging.template",
        "judging.k",
        "judging.recorded_scores",
        "pairs.rule",
        "pairs.from_dataset",
        "candidates.from_dataset",
        "review.enabled",
        "training.method",
        "training.loss",
        "training.beta",
        "training.lam",
        "training.held_out_pairs",
        "training.reference",
        "training.learning_rate",
        "training.epochs",
        "evaluation.enabled",
        "evaluation.dataset",
        "evaluation.count",
    }
)
#: Optional config sections: a switch with a help text, and fields that apply while it is on.
OPTIONAL: Final = {
    "training.lora": "Train low-rank adapters instead of all weights.",
    "training.early_stopping": "Stop when a checkpoint no longer wins against the previous one.",
}
#: Fields that name a judge, with the required kind of judge.
JUDGE_FIELDS: Final = {"judging.template": "score", "evaluation.judge": "comparison"}
TITLES: Final = {
    "": "The run",
    "student": "Student",
    "engine": "Engine",
    "teacher": "Teacher",
    "sft": "Fine-tuning",
    "eft": "Judge training data (EFT)",
    "prompts": "Prompts",
    "candidates": "Candidates",
    "judging": "Judging",
    "pairs": "Pairs",
    "review": "Review",
    "training": "Preference training",
    "training.lora": "LoRA",
    "training.early_stopping": "Early stopping",
    "evaluation": "Evaluation",
}
#: Labels of single fields.
FIELD_LABELS: Final[dict[str, str]] = {
    "sft.enabled": "Fine-tune first",
    "eft.enabled": "Build judge training data",
    "eft.dataset": "Ranked responses",
    "eft.most_common_share": "Maximum share of one score",
    "eft.eval_share": "Share held out",
    "review.enabled": "People review the pairs",
    "evaluation.enabled": "Evaluate each model",
    "evaluation.pairs": "Pairs to measure margins on",
    "candidates.max_new_tokens": "Longest response, tokens",
    "judging.template": "Judge",
    "evaluation.judge": "Judge that compares",
    "judging.max_new_tokens": "Longest judgement, tokens",
    "training.lora.rank": "LoRA rank",
    "training.lora.alpha": "LoRA scale α",
    "training.lora.dropout": "LoRA dropout",
    "pairs.from_dataset": "Ready pairs from",
    "candidates.from_dataset": "Ready responses from",
    "prompts.count": "Prompts per iteration",
    "prompts.writer": "Prompt writer",
    "prompts.writer_model": "Writer model",
    "prompts.template": "Writer template",
    "candidates.short_answers": "Short-answer frame",
    "teacher.key": "Stored key",
    "engine.key": "Stored key",
    "teacher.timeout": "Timeout, seconds",
    "teacher.system": "System prompt",
    "teacher.safety": "Safety filters block",
    "teacher.budget_tokens": "Budget, tokens",
    "teacher.budget_usd": "Budget, USD",
    "teacher.prompt_price": "USD per million prompt tokens",
    "teacher.completion_price": "USD per million completion tokens",
    "evaluation.count": "Held-out prompts",
    "prompts.dataset": "Data set",
    "sft.datasets": "Data sets",
    "sft.corrections": "Human scores",
    "sft.corrections_repeat": "Repetitions per score",
    "sft.limit": "Maximum rows",
    "evaluation.dataset": "Data set",
    "training.lora": "Low-rank adaptation (LoRA)",
    "training.early_stopping": "Early stopping",
    "training.early_stopping.every": "Early stopping: steps between checks",
    "training.early_stopping.dataset": "Early stopping: validation prompts",
    "training.early_stopping.count": "Early stopping: number of prompts",
    "training.early_stopping.judge": "Early stopping: judge",
    "training.early_stopping.min_decided": "Early stopping: minimum decided",
}
#: Labels by field name, for names that do not read well.
LABELS: Final = {
    "dtype": "Number format",
    "lam": "λ, weight of the refinement (or auto)",
    "max_pairs": "Maximum pairs",
    "method": "Training method",
    "held_out_pairs": "Held-out pairs",
    "beta": "β",
    "n": "Responses per prompt",
    "k": "Judgements per response",
    "top_p": "Top p",
    "kind": "Kind",
    "lora": "Low-rank adaptation (LoRA)",
    "max_grad_norm": "Maximum gradient norm",
    "quantize_4bit": "4-bit weights (QLoRA)",
    "base_url": "Server address",
    "max_new_tokens": "Max new tokens",
    "max_length": "Context, tokens",
    "self_judge": "Evaluate the self-judge",
    "held_to_people": "Judge–human agreement",
    "stop_on_drift": "Pause on judge drift",
    "from_dataset": "From data set",
    "mix_previous": "Include pairs of earlier iterations",
    "micro_batch_size": "Micro-batch size",
    "trust_remote_code": "Trust the model's remote code",
    "final_learning_rate": "Final learning rate",
    "min_parse_rate": "Minimum parse rate",
    "min_margin": "Minimum margin",
    "min_replies": "Minimum replies before checking",
    "self_judge_prompts": "Self-judge prompts",
    "save_steps": "Steps between saves",
    "warmup_ratio": "Warm-up ratio",
    "tensor_parallel": "GPUs per model",
    "concurrency": "Parallel requests",
}
CHOICE_LABELS: Final[dict[str, str]] = {
    **PARADIGMS,
    **{name: spec.label for name, spec in LOSSES.items()},
    "": "none",
    **{name: entry.label for name, entry in ENGINES.items()},
    "student": "student",
    "model": "fixed model",
    "few_shot": "few-shot: six seeds, two generated",
    "single_instruction": "zero-shot instruction",
    "off": "off",
    "block_none": "nothing",
    "block_only_high": "high risk only",
    "block_medium_and_above": "medium risk and above",
    "block_low_and_above": "low risk and above",
    "dataset": "from a data set",
    "self_instruct": "self-instruct",
    "previous": "previous checkpoint",
    "m1": "M1",
    "base": "M0",
    "preference": "preference pairs",
    "positive_only": "fine-tuning on chosen responses",
    "max_min": "highest and lowest score",
    "random": "random (a control)",
    "same_data": "on this run's prompts",
    "all": "from all queues",
    "self": "student's",
    "teacher": "teacher's",
    "cosine": "cosine",
    "adamw": "AdamW",
    "rmsprop": "RMSProp",
}


def label_of(path: str) -> str:
    """Return the label of a config field.

    :param path: dotted field, such as ``training.beta``.
    """
    leaf = path.rpartition(".")[2]
    return FIELD_LABELS.get(path) or LABELS.get(leaf) or leaf.replace("_", " ").capitalize()


def label_of_choice(value: str) -> str:
    """Return the label of a choice."""
    return CHOICE_LABELS.get(value, value)
