"""Who judged becomes a row. Until here it was a text such as "M1 of run 3", which is taken apart here and nowhere else."""

import re

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

BATCH = 1000
_OF_RUN = re.compile(r"(?P<name>.+) of run (?P<run>\d+)", re.DOTALL)
_ON_RANKINGS = re.compile(r"(?P<name>.+) on rankings of run (?P<run>\d+)", re.DOTALL)
_PANEL = re.compile(r"median of \d+ people, item \d+")
IFT = "IFT"  # the model fine-tuned on IFT alone, which judges ranked responses and is no checkpoint

#: What tells judgements of one judge from those of another in the old columns.
OLD = ("judge", "source", "iteration_id", "checkpoint_id", "person_id", "template", "template_version")
_TABLE = "alignment_app_judgement"
_MAP = "judge_of_old_columns"


def identity(label, source, run, checkpoint, person, template, version):
    """The fields of the judge that an old judgement names; equal ones are one judge."""
    found = {"kind": "imported", "purpose": "score", "run_id": None, "checkpoint_id": checkpoint, "person_id": person}
    found |= {"name": label, "template": template, "template_version": version, "label": label}
    if person is not None or (source == "human" and template == "people"):
        panel = person is None and _PANEL.fullmatch(label)
        return found | {"kind": "panel" if panel else "person", "checkpoint_id": None}
    for form, purpose in ((_ON_RANKINGS, "ranked"), (_OF_RUN, "score")):
        match = form.fullmatch(label)
        if match and int(match["run"]) == run:
            ift = match["name"] == IFT and source == "self" and checkpoint is None
            purpose = "ranked" if ift else purpose
            return found | {"kind": "model", "purpose": purpose, "run_id": run, "name": match["name"]}
    return found | {"kind": "model", "run_id": run} if checkpoint is not None else found


def judges_of(Judge, identities):
    """The ids of the judges with these fields, in this order; equal ones become one row."""
    keys = [tuple(sorted(fields.items(), key=lambda item: item[0])) for fields in identities]
    rows = {key: Judge(**dict(key)) for key in dict.fromkeys(keys)}
    Judge.objects.bulk_create(rows.values(), batch_size=BATCH)
    return [rows[key].pk for key in keys]


def name_judgements(apps, schema_editor):
    """Make a judge of each combination of the old columns, and point the judgements at them in one statement."""
    Judge, Iteration = apps.get_model("alignment_app", "Judge"), apps.get_model("alignment_app", "Iteration")
    runs = dict(Iteration.objects.values_list("pk", "run_id"))
    found = list(apps.get_model("alignment_app", "Judgement").objects.order_by().values_list(*OLD).distinct())
    ids = judges_of(
        Judge,
        [
            identity(label, source, runs.get(iteration), checkpoint, person, template, version)
            for label, source, iteration, checkpoint, person, template, version in found
        ],
    )
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {_MAP} (judge varchar(200), source varchar(12), iteration_id bigint,"
            " checkpoint_id bigint, person_id bigint, template varchar(80), template_version varchar(20), row_id bigint)"
        )
        for start in range(0, len(found), BATCH):
            cursor.executemany(
                f"INSERT INTO {_MAP} VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (label, source, iteration or 0, checkpoint or 0, person or 0, template, version, judge)
                    for (label, source, iteration, checkpoint, person, template, version), judge in zip(
                        found[start : start + BATCH], ids[start : start + BATCH], strict=True
                    )
                ],
            )
        cursor.execute(f"CREATE INDEX {_MAP}_judge ON {_MAP} (judge, iteration_id)")
        same = " AND ".join(
            f"m.{name} = COALESCE({_TABLE}.{name}, 0)" if name.endswith("_id") else f"m.{name} = {_TABLE}.{name}"
            for name in OLD
        )
        cursor.execute(f"UPDATE {_TABLE} SET judge_row_id = (SELECT m.row_id FROM {_MAP} m WHERE {same})")
        cursor.execute(f"DROP TABLE {_MAP}")
    _name_comparisons(apps, Judge)
    check_now(apps, schema_editor)


def _name_comparisons(apps, Judge):
    """Who compares in an evaluation, and in the checks of early stopping: the teacher, or a checkpoint."""
    Evaluation, StepCheck = (apps.get_model("alignment_app", name) for name in ("Evaluation", "StepCheck"))
    rows, identities = [], []
    for evaluation in Evaluation.objects.exclude(judge="none").select_related("checkpoint__run"):
        rows.append(evaluation)
        identities.append(_comparing(evaluation.judge, evaluation.checkpoint.run, None))
    for check in StepCheck.objects.select_related("iteration__run"):
        run = check.iteration.run
        by_self = ((run.config.get("training") or {}).get("early_stopping") or {}).get("judge") == "self"
        rows.append(check)
        identities.append(_comparing(check.judge, run, check.iteration.input_checkpoint_id if by_self else None))
    for row, judge in zip(rows, judges_of(Judge, identities), strict=True):
        type(row).objects.filter(pk=row.pk).update(judge_row=judge)


def _comparing(name, run, checkpoint):
    kept = run.judges.get("evaluation.judge")
    if kept:
        template, version = kept["judge"]["name"], str(kept["version"])
    else:  # launched before runs kept their judges: there were only first versions
        template, version = (run.config.get("evaluation") or {}).get("judge") or "", "1"
    return {
        "kind": "model", "purpose": "compare", "run_id": run.pk, "checkpoint_id": checkpoint, "person_id": None,
        "name": name, "template": template, "template_version": version, "label": f"{name} of run {run.pk}",
    }  # fmt: skip


def write_texts(apps, schema_editor):
    """Back to texts and columns beside them."""
    old = ("checkpoint_id", "person_id", "template", "template_version")
    of_judge = f"FROM alignment_app_judge j WHERE j.id = {_TABLE}.judge_row_id"
    columns = {"judge": f"(SELECT j.label {of_judge})"} | {name: f"(SELECT j.{name} {of_judge})" for name in old}
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"UPDATE {_TABLE} SET " + ", ".join(f"{name} = {value}" for name, value in columns.items()))
    for name in ("Evaluation", "StepCheck"):
        for row in apps.get_model("alignment_app", name).objects.select_related("judge_row"):
            row.judge = row.judge_row.name if row.judge_row else "none"
            row.save(update_fields=["judge"])
    check_now(apps, schema_editor)


def check_now(apps, schema_editor):
    """Checks of foreign keys that wait for the end would keep the tables from being changed."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def row(related):
    """A reference to a judge that is not filled yet."""
    return models.ForeignKey(
        null=True, on_delete=django.db.models.deletion.RESTRICT, related_name=related, to="alignment_app.judge"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("alignment_app", "0016_no_detail_of_stages"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Judge",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("model", "Model"), ("person", "Person"), ("panel", "Several people"), ("imported", "Imported")], max_length=8)),
                ("purpose", models.CharField(choices=[("score", "Scores responses"), ("ranked", "Scores ranked responses"), ("compare", "Compares responses")], default="score", max_length=8)),
                ("name", models.CharField(help_text="Checkpoint, teacher's model, person or column.", max_length=200)),
                ("template", models.CharField(blank=True, help_text="Name of the judge's prompt.", max_length=80)),
                ("template_version", models.CharField(blank=True, max_length=20)),
                ("label", models.CharField(help_text="The name with the run, for lists of several runs.", max_length=240)),
                ("checkpoint", models.ForeignKey(blank=True, help_text="Null for a teacher, and for a model that is no checkpoint of its run.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name="judge_rows", to="alignment_app.checkpoint")),
                ("person", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL)),
                ("run", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="judge_rows", to="alignment_app.run")),
            ],
            options={
                "ordering": ("id",),
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("checkpoint__isnull", False), ("kind", "model")), fields=("checkpoint", "name", "purpose", "template", "template_version"), name="judge_once_a_checkpoint"),
                    models.UniqueConstraint(condition=models.Q(("checkpoint__isnull", True), ("kind", "model")), fields=("run", "name", "purpose", "template", "template_version"), name="judge_once_a_run"),
                    models.UniqueConstraint(condition=models.Q(("kind", "person"), ("person__isnull", False)), fields=("person", "name", "template", "template_version"), name="judge_once_a_person"),
                    models.UniqueConstraint(condition=models.Q(("kind__in", ("panel", "imported"))), fields=("kind", "name", "template", "template_version"), name="judge_once_a_name"),
                ],
            },
        ),
        migrations.AddField("judgement", "judge_row", row("judgements")),
        migrations.AddField("evaluation", "judge_row", row("evaluations")),
        migrations.AddField("stepcheck", "judge_row", row("step_checks")),
        migrations.RunPython(name_judgements, check_now),
        migrations.RemoveConstraint("judgement", "judgement_once_a_judge_and_response"),
        migrations.RunPython(migrations.RunPython.noop, write_texts),
        # So that a way back finds a value for the rows that are there; it changes nothing in the database.
        migrations.AlterField("judgement", "judge", models.CharField(blank=True, max_length=200)),
        migrations.AlterField("evaluation", "judge", models.CharField(blank=True, max_length=200)),
        migrations.AlterField("stepcheck", "judge", models.CharField(blank=True, max_length=200)),
        migrations.RemoveField("judgement", "judge"),
        migrations.RemoveField("judgement", "checkpoint"),
        migrations.RemoveField("judgement", "person"),
        migrations.RemoveField("judgement", "template"),
        migrations.RemoveField("judgement", "template_version"),
        migrations.RemoveField("evaluation", "judge"),
        migrations.RemoveField("stepcheck", "judge"),
        migrations.RenameField("judgement", "judge_row", "judge"),
        migrations.RenameField("evaluation", "judge_row", "judge"),
        migrations.RenameField("stepcheck", "judge_row", "judge"),
        migrations.AlterField("judgement", "judge", models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name="judgements", to="alignment_app.judge")),
        migrations.AlterField("evaluation", "judge", models.ForeignKey(blank=True, help_text="Who compares its answers with those of the checkpoint before; null: nobody.", null=True, on_delete=django.db.models.deletion.RESTRICT, related_name="evaluations", to="alignment_app.judge")),
        migrations.AlterField("stepcheck", "judge", models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name="step_checks", to="alignment_app.judge")),
        migrations.AddConstraint("judgement", models.UniqueConstraint(fields=("response", "source", "judge"), name="judgement_once_a_judge_and_response")),
    ]
