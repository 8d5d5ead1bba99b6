"""The words of the launch form: titles, labels and choices, and which fields stand open."""

from __future__ import annotations

from typing import Final

from alignment_app.pages.runs import PARADIGMS
from training.domain.engine_kinds import ENGINES
from training.domain.loss_specs import LOSSES

#: Fields that stand open; the others of their section are folded away.
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
#: Parts of the config that may be left out: each a switch with its own help, and fields that count while it is on.
OPTIONAL: Final = {
    "training.lora": "Train a small update on top of the frozen weights. Off: all weights are trained.",
    "training.early_stopping": "Compare every few steps with the checkpoint before, and stop when it no longer wins.",
}
#: Fields that name a judge, and the kind that each needs.
JUDGE_FIELDS: Final = {"judging.template": "score", "evaluation.judge": "comparison"}
TITLES: Final = {
    "": "The run",
    "student": "Student",
    "engine": "Engine",
    "teacher": "Teacher",
    "sft": "Fine-tuning",
    "eft": "Judging rows (EFT)",
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
    "eft.enabled": "Build rows that teach judging",
    "eft.dataset": "Ranked responses",
    "eft.most_common_share": "Largest share of one score",
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
    "prompts.count": "Prompts an iteration",
    "prompts.writer": "Written by",
    "prompts.writer_model": "Model that writes",
    "prompts.template": "Shown to the writer",
    "candidates.short_answers": "Short-answer frame",
    "teacher.key": "Stored key",
    "engine.key": "Stored key",
    "teacher.timeout": "Time-out, seconds",
    "teacher.system": "System text",
    "teacher.safety": "Safety filters block",
    "teacher.budget_tokens": "Budget, tokens",
    "teacher.budget_usd": "Budget, USD",
    "teacher.prompt_price": "Price of a million tokens read, USD",
    "teacher.completion_price": "Price of a million tokens written, USD",
    "evaluation.count": "Held-out prompts",
    "prompts.dataset": "Data set",
    "sft.datasets": "Data sets",
    "sft.corrections": "People's scores",
    "sft.corrections_repeat": "Times each score",
    "sft.limit": "Most rows to train on",
    "evaluation.dataset": "Data set",
    "training.lora": "Low-rank adaptation (LoRA)",
    "training.early_stopping": "Early stopping",
    "training.early_stopping.every": "Early stopping: every so many steps",
    "training.early_stopping.dataset": "Early stopping: validation prompts",
    "training.early_stopping.count": "Early stopping: how many prompts",
    "training.early_stopping.judge": "Early stopping: judge",
    "training.early_stopping.min_decided": "Early stopping: fewest decided",
}
#: Labels of a name wherever it stands, where the name itself does not read well.
LABELS: Final = {
    "dtype": "Number format",
    "lam": "λ, weight of the refinement, or auto",
    "max_pairs": "Most pairs to train on",
    "method": "Kind of training",
    "held_out_pairs": "Pairs held out",
    "beta": "β",
    "n": "Responses a prompt",
    "k": "Judgements a response",
    "top_p": "Top p",
    "kind": "Kind",
    "lora": "Low-rank adaptation (LoRA)",
    "max_grad_norm": "Largest gradient norm",
    "quantize_4bit": "4-bit weights (QLoRA)",
    "base_url": "Server address",
    "max_new_tokens": "Longest answer, tokens",
    "max_length": "Context, tokens",
    "self_judge": "Measure the self-judge",
    "held_to_people": "Hold judges to people",
    "stop_on_drift": "Pause when the judge drifts",
    "from_dataset": "Take from a data set",
    "mix_previous": "Train on all pairs so far",
    "micro_batch_size": "Micro-batch size",
    "trust_remote_code": "Trust code that comes with the model",
    "final_learning_rate": "Final learning rate",
    "min_parse_rate": "Smallest parse rate",
    "min_margin": "Smallest margin",
    "min_replies": "Replies before it counts",
    "self_judge_prompts": "Prompts for the self-judge",
    "save_steps": "Steps between saves",
    "warmup_ratio": "Share of warm-up",
    "tensor_parallel": "GPUs a model",
    "concurrency": "Requests at once",
}
CHOICE_LABELS: Final[dict[str, str]] = {
    **PARADIGMS,
    **{name: spec.label for name, spec in LOSSES.items()},
    "": "none",
    **{name: entry.label for name, entry in ENGINES.items()},
    "student": "the student",
    "model": "a fixed model",
    "few_shot": "six seeds and two new ones",
    "single_instruction": "one instruction, no example",
    "off": "nothing, and are off",
    "block_none": "nothing",
    "block_only_high": "what is surely harmful",
    "block_medium_and_above": "what is probably harmful",
    "block_low_and_above": "what might be harmful",
    "dataset": "from a data set",
    "self_instruct": "self-instruct",
    "previous": "the previous iterate",
    "m1": "M1",
    "base": "M0",
    "preference": "on preference pairs",
    "positive_only": "fine-tuning on the chosen only",
    "max_min": "highest against lowest",
    "random": "random (a control)",
    "same_data": "those on this run's prompts",
    "all": "those of every queue",
    "self": "the student's",
    "teacher": "the teacher's",
    "cosine": "cosine",
    "adamw": "AdamW",
    "rmsprop": "RMSProp",
}


def label_of(path: str) -> str:
    """The label of a dotted field."""
    leaf = path.rpartition(".")[2]
    return FIELD_LABELS.get(path) or LABELS.get(leaf) or leaf.replace("_", " ").capitalize()


def label_of_choice(value: str) -> str:
    """The words of one choice."""
    return CHOICE_LABELS.get(value, value)
