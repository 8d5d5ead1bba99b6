from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("alignment_app", "0015_results_of_stages")]

    operations = [migrations.RemoveField(model_name="stage", name="detail")]
