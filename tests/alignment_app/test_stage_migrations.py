"""Migration of stages without typed results: all stored values are kept."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

BEFORE = [("alignment_app", "0013_stands_for"), ("labeling", "0003_roots_and_reasons")]
AFTER = "0016_no_detail_of_stages"

DETAILS: dict[str, dict[str, Any]] = {
    "ift": {"steps": 5, "seconds": 2.0, "loss": 0.5, "location": "runs/1/IFT", "series": "IFT"},
    "prompts": {"dataset": "ranked", "ranked": 16, "overlapping": 1},
    "judgements": {"judge": "IFT", "parse_rate": 0.9, "unparsed": 3, "in_flight": 0, "health": {"judge": {}}},
    "eft": {"eft": {"asked": 4, "train": 2}, "ranking": {"prompts": 2}, "failed_requests": 6},
}


@pytest.mark.django_db(transaction=True)
def test_stages_events_and_models_of_the_old_version_are_carried_over() -> None:
    executor = MigrationExecutor(connection)
    leaves = executor.loader.graph.leaf_nodes()
    executor.migrate([*[node for node in leaves if node[0] not in ("alignment_app", "labeling")], *BEFORE])
    try:
        old = executor.loader.project_state(BEFORE).apps
        run = old.get_model("alignment_app", "Run").objects.create(
            name="old", config={}, config_hash="", paradigm="self_reward"
        )
        iteration = old.get_model("alignment_app", "Iteration").objects.create(run=run, number=0)
        later = old.get_model("alignment_app", "Iteration").objects.create(run=run, number=1)
        stages = old.get_model("alignment_app", "Stage").objects
        for position, (kind, detail) in enumerate(DETAILS.items()):
            stages.create(
                iteration=iteration, kind=kind, position=position, queue="light", status="done", detail=detail
            )
        stages.create(
            iteration=later, kind="training", position=0, queue="training", status="stopped",
            detail={"trials": [{"lam": 0.1}], "loss": 0.4},
        )  # fmt: skip
        stages.create(iteration=later, kind="prompts", position=1, queue="light", status="done", detail={"removed": {}})
        old.get_model("alignment_app", "StageAttempt").objects.create(
            stage=stages.get(kind="eft"), number=1, worker="w", host="h", pid=1, lease_expires_at=timezone.now()
        )
        event = old.get_model("alignment_app", "RunEvent").objects
        event.create(run=run, seq=1, kind="stage", payload={"iteration": 0, "kind": "prompts", "detail": {}})
        event.create(run=run, seq=2, kind="stage", payload={"iteration": 1, "kind": "prompts", "detail": {}})
        event.create(run=run, seq=3, kind="sample", payload={"iteration": 0, "stage": "judgements", "prompt": 1})
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    from alignment_app.models import Iteration, RunEvent, Stage, StageAttempt

    def stage(kind: str) -> Stage:
        return Stage.objects.get(kind=kind)

    assert stage("ranked_prompts").result == DETAILS["prompts"]
    assert stage("ranked_judgements").result["parse_rate"] == 0.9
    assert stage("ranked_judgements").progress["in_flight"] == 0
    assert stage("ift").result == {"steps": 5, "seconds": 2.0, "loss": 0.5}
    assert Iteration.objects.get(number=0).ift_location == "runs/1/IFT"
    assert stage("eft").result == {"selection": {"asked": 4, "train": 2}, "ranking": {"prompts": 2}}
    assert StageAttempt.objects.get().failed_requests == 6
    assert (stage("training").result, stage("training").progress["trials"]) == ({}, [{"lam": 0.1}])
    assert (stage("prompts").iteration.number, stage("prompts").unit) == (1, "prompts")
    for one in Stage.objects.all():
        one.figures()  # readable by the current models
    kinds = [payload.get("kind") or payload["stage"] for payload in RunEvent.objects.values_list("payload", flat=True)]
    assert kinds == ["ranked_prompts", "prompts", "ranked_judgements"]
