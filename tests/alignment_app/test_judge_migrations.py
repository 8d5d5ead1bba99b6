"""Migration of a database in which judges were not rows yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("alignment_app", "0016_no_detail_of_stages")]


def _newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.fixture
def earlier() -> Iterator[Any]:
    """Return the old models on the old tables; migrate to the newest tables at the end."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    yield (
        MigrationExecutor(connection)
        .loader.project_state([*BEFORE, ("auth", "0012_alter_user_first_name_max_length")])
        .apps
    )
    _newest()


def _config(**more: Any) -> dict[str, Any]:
    """The score settings of a stored config."""
    return {
        "paradigm": "self_reward",
        "judging": {"recorded_scores": None, "template": "additive_5"},
        "candidates": {"from_dataset": ""},
        "pairs": {"from_dataset": "", "rule": "max_min", "min_margin": 0.0},
        "teacher": {"kind": "oracle", "model": "gemini"},
        "evaluation": {"judge": "pairwise"},
        "training": {"early_stopping": {"judge": "self"}},
        **more,
    }


class Old:
    """Write rows in their old format."""

    def __init__(self, apps: Any) -> None:
        self._apps = apps
        self.dataset = self.model("Dataset").create(name="old", kind="scored")
        self.prompt = self.model("Prompt").create(
            dataset=self.dataset, source="imported", messages=[], text="Why?", position=0, content_hash="h"
        )

    def model(self, name: str, app: str = "alignment_app") -> Any:
        return self._apps.get_model(app, name).objects

    def run(self, **config: Any) -> Any:
        """A run with iterations 0 and 1, M0 and M1."""
        judges = {"evaluation.judge": {"judge": {"name": "pairwise"}, "version": 1, "hash": ""}}
        run = self.model("Run").create(
            name="old", config=_config(**config), config_hash="", paradigm=_config(**config)["paradigm"], judges=judges
        )
        models = [
            self.model("Checkpoint").create(run=run, number=number, kind="base", config_hash="", location="x")
            for number in (0, 1)
        ]
        for number in (0, 1):
            self.model("Iteration").create(run=run, number=number, input_checkpoint=models[number])
        self.model("Iteration").create(run=run, number=2)
        return run

    def response(self, iteration: Any, index: int) -> Any:
        return self.model("Response").create(
            prompt=self.prompt, iteration=iteration, source="student" if iteration else "imported",
            purpose="candidate", index=index, text=str(index),
        )  # fmt: skip

    def judged(self, response: Any, source: str, judge: str, iteration: Any = None, **more: Any) -> int:
        made: int = (
            self.model("Judgement")
            .create(response=response, source=source, judge=judge, iteration=iteration, score=3.0, **more)
            .pk
        )
        return made


def test_who_judged_becomes_a_row_whatever_text_named_it(earlier: Any) -> None:
    old = Old(earlier)
    run = old.run()
    start, first = run.iterations.order_by("number")[:2]
    m1 = run.checkpoints.get(number=1)
    ana = old.model("User", "auth").create(username="ana")
    own, brought = old.response(first, 0), old.response(None, 0)
    prompt = {"template": "additive_5", "template_version": "1"}
    of_run = f"of run {run.pk}"
    ids = {
        "self": old.judged(own, "self", f"M1 {of_run}", first, checkpoint=m1, **prompt),
        "teacher": old.judged(own, "teacher", f"gemini {of_run}", first, **prompt),
        "ranked by IFT": old.judged(brought, "self", f"IFT {of_run}", start, **prompt),
        "ranked": old.judged(brought, "self", f"M1 on rankings {of_run}", start, checkpoint=m1, **prompt),
        "imported": old.judged(brought, "teacher", "gpt"),
        "imported, like a run's": old.judged(brought, "reference", "M1 of run 999999"),
        "person": old.judged(own, "human", "ana", first, person=ana, template="people"),
        "gone": old.judged(own, "human", "ben", first, template="people"),
        "panel": old.judged(own, "human", "median of 3 people, item 7", first, template="people"),
        "unknown": old.judged(own, "reference", "somebody", first),
        "again": old.judged(old.response(first, 1), "self", f"M1 {of_run}", first, checkpoint=m1, **prompt),
    }  # fmt: skip
    old.model("Evaluation").create(checkpoint=m1, judge="gemini", prompt_count=1)
    old.model("Evaluation").create(checkpoint=run.checkpoints.get(number=0), judge="none", prompt_count=1)
    old.model("StepCheck").create(iteration=first, step=5, judge="M1", decision="first")
    _newest()

    from alignment_app.models import Checkpoint, Evaluation, Judge, Judgement, StepCheck
    from alignment_app.services.judge_rows import imported_judge
    from tests.support.judge_rows import checkpoint_judge

    fields = ("kind", "purpose", "run", "checkpoint", "person", "name", "template", "template_version", "label")
    judges = {row.pk: row.judge for row in Judgement.objects.select_related("judge")}

    def of(which: str) -> tuple[Any, ...]:
        return tuple(Judge.objects.values_list(*fields).get(pk=judges[ids[which]].pk))

    asked = ("additive_5", "1")
    assert of("self") == ("model", "score", run.pk, m1.pk, None, "M1", *asked, f"M1 {of_run}")
    assert of("teacher") == ("model", "score", run.pk, None, None, "gemini", *asked, f"gemini {of_run}")
    assert of("ranked by IFT") == ("model", "ranked", run.pk, None, None, "IFT", *asked, f"IFT {of_run}")
    assert of("ranked") == ("model", "ranked", run.pk, m1.pk, None, "M1", *asked, f"M1 on rankings {of_run}")
    assert of("imported") == ("imported", "score", None, None, None, "gpt", "", "", "gpt")
    assert of("imported, like a run's")[5:] == ("M1 of run 999999", "", "", "M1 of run 999999")
    assert of("person") == ("person", "score", None, None, ana.pk, "ana", "people", "", "ana")
    assert of("gone") == ("person", "score", None, None, None, "ben", "people", "", "ben")
    assert of("panel")[0] == "panel"
    assert of("unknown") == ("imported", "score", None, None, None, "somebody", "", "", "somebody")
    assert judges[ids["again"]] == judges[ids["self"]]
    # A resumed run finds the same rows.
    assert checkpoint_judge(Checkpoint.objects.get(pk=m1.pk)) == judges[ids["self"]]
    assert imported_judge("gpt") == judges[ids["imported"]]
    compared, alone = (Evaluation.objects.get(checkpoint__number=number) for number in (1, 0))
    assert alone.judge is None
    assert compared.judge is not None
    assert (compared.judge.name, compared.judge.purpose, compared.judge.template) == ("gemini", "compare", "pairwise")
    check = StepCheck.objects.get()
    assert (check.judge.checkpoint_id, check.judge.purpose) == (m1.pk, "compare")


def test_which_score_counts_is_stored_with_each_iteration(earlier: Any) -> None:
    old = Old(earlier)
    self_judged, taught = old.run(), old.run(paradigm="teacher_reward")
    recorded = old.run(judging={"recorded_scores": "teacher"}, candidates={"from_dataset": "old"})
    ids: dict[str, int] = {}
    for place, (name, run) in enumerate({"self": self_judged, "teacher": taught, "recorded": recorded}.items()):
        start, first, _ = run.iterations.order_by("number")
        models = {one.number: one for one in run.checkpoints.all()}
        of_run = f"of run {run.pk}"
        own, brought = old.response(first, 0), old.response(None, place)
        later = old.model("Checkpoint").create(run=run, number=2, kind="preference", config_hash="", location="x")
        # The iteration's checkpoint judges the same responses, so that its judging is measured.
        old.judged(own, "self", f"M2 {of_run}", first, checkpoint=later)
        ids[f"{name}, self"] = old.judged(own, "self", f"M1 {of_run}", first, checkpoint=models[1])
        ids[f"{name}, teacher"] = old.judged(own, "teacher", f"gemini {of_run}", first)
        old.judged(own, "human", "ana", first, template="people")
        ids[f"{name}, ranked"] = old.judged(brought, "self", f"IFT {of_run}", start)
        old.judged(brought, "self", f"M1 on rankings {of_run}", start, checkpoint=models[1])
    _newest()

    from alignment_app.models import Iteration, Judgement
    from alignment_app.selectors.scores import rule_of
    from training.domain.score_rule import ScoreRule

    judge = dict(Judgement.objects.values_list("pk", "judge"))

    def rules(run: Any) -> list[ScoreRule]:
        return [rule_of(row) for row in Iteration.objects.filter(run=run.pk).order_by("number")]

    assert rules(self_judged) == [
        ScoreRule("self", judge[ids["self, ranked"]]), ScoreRule("self", judge[ids["self, self"]]), ScoreRule("self"),
    ]  # fmt: skip
    assert rules(taught)[1:] == [ScoreRule("teacher", judge[ids["teacher, teacher"]]), ScoreRule("teacher")]
    assert rules(recorded)[1:] == [ScoreRule("teacher"), ScoreRule("teacher")]
