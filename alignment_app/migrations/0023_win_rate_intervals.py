"""Recompute the win rate intervals of stored evaluations, which took a tie for half a win and half a loss."""

from django.db import migrations

from training.domain.intervals import win_rate_interval


def recompute(apps, schema_editor):
    Evaluation = apps.get_model("alignment_app", "Evaluation")
    for evaluation in Evaluation.objects.filter(metrics__win_rate__isnull=False).iterator(chunk_size=200):
        counts = [evaluation.metrics.get(name) for name in ("win", "tie", "lose")]
        if not all(isinstance(count, int) for count in counts):
            continue
        interval = win_rate_interval(*counts)
        if interval is None:
            continue
        evaluation.metrics = evaluation.metrics | {"win_low": interval[0], "win_high": interval[1]}
        evaluation.save(update_fields=["metrics"])


class Migration(migrations.Migration):
    dependencies = [("alignment_app", "0022_plain_help_texts")]
    operations = [migrations.RunPython(recompute, migrations.RunPython.noop)]
