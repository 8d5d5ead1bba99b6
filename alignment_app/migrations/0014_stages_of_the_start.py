"""The stages of iteration 0 that handle ranked responses have kinds of their own."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

import alignment_app.models.runs

RENAMED = {"prompts": "ranked_prompts", "judgements": "ranked_judgements"}
#: Where an event's payload names the kind of its stage.
KEYS = {"stage": "kind", "sample": "stage"}


def _rename(apps: Any, names: dict[str, str]) -> None:
    stages = apps.get_model("alignment_app", "Stage").objects.filter(iteration__number=0)
    runs = set(stages.filter(kind__in=names).values_list("iteration__run", flat=True))
    for old, new in names.items():
        stages.filter(kind=old).update(kind=new)
    events = apps.get_model("alignment_app", "RunEvent").objects
    for run in sorted(runs):
        changed = []
        for event in events.filter(run=run, kind__in=KEYS).iterator(chunk_size=1000):
            key = KEYS[event.kind]
            if event.payload.get("iteration") == 0 and event.payload.get(key) in names:
                event.payload[key] = names[event.payload[key]]
                changed.append(event)
        events.bulk_update(changed, ["payload"], batch_size=500)


def forwards(apps: Any, schema_editor: Any) -> None:
    _rename(apps, RENAMED)


def backwards(apps: Any, schema_editor: Any) -> None:
    _rename(apps, {new: old for old, new in RENAMED.items()})


class Migration(migrations.Migration):
    dependencies = [("alignment_app", "0013_stands_for")]

    operations = [
        migrations.AlterField(
            model_name="stage",
            name="kind",
            field=models.CharField(choices=alignment_app.models.runs.stage_kinds, max_length=32),
        ),
        migrations.RunPython(forwards, backwards),
    ]
