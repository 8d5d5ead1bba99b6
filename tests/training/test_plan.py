"""The declarations of the stages: complete, and able to read stored data of every version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from training import plan
from training.config import RunConfig, preset_data
from training.domain import alarms
from training.domain.ranking import ranking_agreement
from training.plan.judging_rows import EFTResult
from training.plan.spec import FinishedStage, StageData, import_function
from training.plan.training import EvaluationResult, PreferenceProgress, PreferenceResult


class PlainWords:
    """A formatter that uses Python's number format."""

    def number(self, value: Any, places: Any = None) -> str:
        return str(value)

    def percent(self, value: Any, places: int = 0) -> str:
        return str(value)

    def short_hash(self, value: str) -> str:
        return value[:4]

    def headline(self, values: Mapping[str, Any]) -> str:
        return str(values.get("mean_score", ""))


@pytest.mark.parametrize("spec", plan.LOOP, ids=lambda spec: spec.kind)
def test_a_declaration_is_complete(spec: plan.StageSpec) -> None:
    assert spec.kind.isidentifier()
    assert len(spec.kind) <= 32
    assert spec.title
    assert spec.unit
    assert spec.waits_for_people == (spec.kind == "review")
    for name in filter(None, (spec.job, spec.overlap, spec.estimate)):
        assert callable(import_function(name))
    for model in (spec.result, spec.progress):
        empty = model()
        assert model.read(empty.as_data()) == empty
        assert model.read({"written_by_another_version": 1}) == empty
        with pytest.raises(ValidationError):
            model.model_validate({"undeclared": 1})
    count, note = spec.summary(spec.result(), FinishedStage(7, "M2"), PlainWords())
    assert count
    assert isinstance(note, str)


def test_kinds_and_titles_are_unique() -> None:
    assert len({spec.kind for spec in plan.LOOP}) == len({spec.title for spec in plan.LOOP}) == len(plan.LOOP)
    with pytest.raises(LookupError):
        plan.spec_of("no such stage")


def test_stage_data_survives_storage_and_invalid_fields_are_ignored() -> None:
    stored = {"trials": [{"lam": 0.1, "accuracy": 0.5}], "series": "λ 0.1", "loss": "not a number", "old": 3}
    found = PreferenceProgress.read(stored)
    assert found.trials[0].lam == 0.1
    assert (found.series, found.loss) == ("λ 0.1", None)
    changed = found.changed({"loss": 0.25})
    assert PreferenceProgress.read(changed.as_data()) == changed
    assert PreferenceResult.read({"steps": 3, "lam": 0.3}).as_data() == {"steps": 3, "lam": 0.3}
    assert StageData.read({"anything": 1}) == StageData()


def test_an_iteration_has_the_stages_of_its_config() -> None:
    config = RunConfig.parse(preset_data("miniature-teacher-reward"))

    def kinds(number: int) -> list[str]:
        return [stage.kind for stage in plan.plan_iteration(config, number) if not stage.skipped]

    assert kinds(0) == ["dataset", "sft", "evaluation"]
    assert kinds(1) == ["prompts", "responses", "judgements", "pairs", "dataset", "training", "evaluation"]


def test_statistics_of_judges_are_typed_and_older_data_are_read() -> None:
    scores = alarms.health([1.0, None, 2.0], [[(1.0, 3), (2.0, 5)]])
    orders = alarms.order_health([("tie", "first")])
    stored = EvaluationResult(metrics={"mean_score": 2.5, "win": 3}, health={"teacher": scores, "comparisons": orders})
    data = json.loads(json.dumps(stored.as_data()))
    assert EvaluationResult.read(data) == stored
    data["health"]["teacher"]["orders"], data["health"]["comparisons"]["orders"] = False, True
    assert EvaluationResult.read(data) == stored
    assert EvaluationResult.read({"health": {"teacher": {}}, "metrics": {"win": 1}}).metrics == {"win": 1}
    with pytest.raises(ValidationError):
        EvaluationResult.model_validate({"health": {"teacher": {"replies": 3}}})


def test_the_ranking_agreement_before_eft_is_typed_and_an_empty_one_of_older_data_is_none() -> None:
    ranking = ranking_agreement([[(5.0, 1.0), (3.0, 2.0)]])
    stored = EFTResult(ranking=ranking)
    assert EFTResult.read(json.loads(json.dumps(stored.as_data()))) == stored
    assert EFTResult.read({"ranking": {}}).ranking is None
