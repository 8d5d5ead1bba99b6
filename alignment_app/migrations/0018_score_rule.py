"""Which score of a response counts is stored with the iteration. Until here it followed from the run's config."""

from django.db import migrations, models


def write_rules(apps, schema_editor):
    """The rule of each iteration, with the judge that has scored its candidates."""
    Iteration, Judgement = (apps.get_model("alignment_app", name) for name in ("Iteration", "Judgement"))
    for iteration in Iteration.objects.select_related("run").order_by("pk").iterator(chunk_size=500):
        config = iteration.run.config
        recorded = (config.get("judging") or {}).get("recorded_scores") or ""
        paradigm = config.get("paradigm") or iteration.run.paradigm
        source = "self" if (recorded or paradigm).startswith("self") else "teacher"
        judged = Judgement.objects.filter(iteration=iteration, response__purpose="candidate", judge__kind="model")
        if iteration.number == 0:
            own = judged.filter(judge__purpose="ranked", judge__checkpoint=None)
        elif recorded:
            own = judged.none()
        else:
            # A model that the iteration made itself, or a later one, has judged them to be measured.
            own = judged.filter(source=source, judge__purpose="score")
            own = own.exclude(judge__checkpoint__number__gt=iteration.number)
        judge = own.order_by("pk").values_list("judge", flat=True).first()
        if iteration.number == 0 and judge is not None:
            source = "self"
        rule = {"source": source, "judge": judge, "pick": "people_first"}
        Iteration.objects.filter(pk=iteration.pk).update(score_rule=rule)


class Migration(migrations.Migration):

    dependencies = [("alignment_app", "0017_judge_rows")]

    operations = [
        migrations.AddField(
            "iteration",
            "score_rule",
            models.JSONField(default=dict, help_text="A training.domain.score_rule.ScoreRule: which score of a response counts."),
        ),
        migrations.RunPython(write_rules, migrations.RunPython.noop),
    ]
