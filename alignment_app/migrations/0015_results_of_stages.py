"""What a stage found is typed: figures of the work in ``progress``, what the finished stage gave in ``result``.

The location of the model fine-tuned on instruction rows alone moves to its iteration, failed requests to an attempt.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

LIVE = ("tokens_per_second", "in_flight")
JUDGED = ("parse_rate", "unparsed", "health")
TRAINED = ("loss", "accuracy", "margin", "series")
#: Fields of the result and of the progress by kind of stage, as this version declares them.
RESULT: dict[str, tuple[str, ...]] = {
    "prompts": ("source", "dataset", "removed"),
    "responses": ("dataset",),
    "demonstrations": ("teacher",),
    "judgements": ("judge", "mean", "spread", *JUDGED),
    "ranked_prompts": ("dataset", "ranked", "overlapping"),
    "ranked_judgements": ("judge", *JUDGED),
    "eft": ("selection", "ranking"),
    "pairs": ("pairs", "none", "reasons"),
    "dataset": ("hash", "rows", "held_out", "left_out"),
    "ift": ("steps", "seconds", "loss"),
    "sft": ("steps", "seconds", "loss"),
    "training": ("steps", "seconds", "loss", "lam"),
    "evaluation": ("metrics", "health"),
}
PROGRESS: dict[str, tuple[str, ...]] = {
    "prompts": ("removed",),
    "judgements": JUDGED,
    "ranked_judgements": JUDGED,
    "eft": ("selection",),
    "ift": TRAINED,
    "sft": TRAINED,
    "training": (*TRAINED, "trials", "comparing", "steps_checked"),
}
UNITS = {
    "prompts": "prompts", "ranked_prompts": "prompts", "responses": "responses", "demonstrations": "responses",
    "judgements": "judgements", "ranked_judgements": "judgements", "pairs": "pairs", "review": "pairs",
    "ift": "steps", "sft": "steps", "training": "steps",
}  # fmt: skip


def forwards(apps: Any, schema_editor: Any) -> None:
    stages = apps.get_model("alignment_app", "Stage").objects
    iterations = apps.get_model("alignment_app", "Iteration").objects
    attempts = apps.get_model("alignment_app", "StageAttempt").objects
    for kind, unit in UNITS.items():
        stages.filter(kind=kind, unit="rows").update(unit=unit)
    for stage in stages.exclude(detail={}).iterator(chunk_size=500):
        detail = dict(stage.detail)
        if stage.kind == "eft" and "eft" in detail:
            detail["selection"] = detail.pop("eft")
        # An evaluation that is measured again keeps the result that it has.
        if stage.status == "done" or "metrics" in detail:
            stage.result = {name: detail[name] for name in RESULT.get(stage.kind, ()) if name in detail}
        names = (*LIVE, *PROGRESS.get(stage.kind, ()))
        stage.progress = {name: detail[name] for name in names if name in detail}
        stage.save(update_fields=["result", "progress"])
        if stage.kind == "ift" and detail.get("location"):
            iterations.filter(pk=stage.iteration_id).update(ift_location=detail["location"])
        last = attempts.filter(stage=stage.pk).order_by("-number").first()
        if last is not None and detail.get("failed_requests"):
            attempts.filter(pk=last.pk).update(failed_requests=detail["failed_requests"])


def backwards(apps: Any, schema_editor: Any) -> None:
    stages = apps.get_model("alignment_app", "Stage").objects
    attempts = apps.get_model("alignment_app", "StageAttempt").objects
    for stage in stages.select_related("iteration").iterator(chunk_size=500):
        detail = {**stage.progress, **stage.result}
        if stage.kind == "eft" and "selection" in detail:
            detail["eft"] = detail.pop("selection")
        if stage.kind == "ift" and stage.iteration.ift_location:
            detail["location"] = stage.iteration.ift_location
        failed = sum(attempts.filter(stage=stage.pk).values_list("failed_requests", flat=True))
        if failed:
            detail["failed_requests"] = failed
        stage.detail = detail
        stage.save(update_fields=["detail"])


class Migration(migrations.Migration):
    dependencies = [("alignment_app", "0014_stages_of_the_start")]

    operations = [
        migrations.AddField(
            model_name="stage",
            name="progress",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="Figures of the stage at work, by the progress model of its kind.",
            ),
        ),
        migrations.AddField(
            model_name="stage",
            name="result",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What the finished stage gave, by the result model of its kind.",
            ),
        ),
        migrations.AddField(
            model_name="stageattempt",
            name="failed_requests",
            field=models.PositiveIntegerField(
                default=0, help_text="Requests to a paid teacher that brought no answer and cost nothing."
            ),
        ),
        migrations.AddField(
            model_name="iteration",
            name="ift_location",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The model fine-tuned on instruction rows alone, which judges the ranked responses: a path "
                "relative to the data folder.",
                max_length=500,
            ),
            preserve_default=False,
        ),
        migrations.RunPython(forwards, backwards),
    ]
