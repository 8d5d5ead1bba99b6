"""The data of the demonstration on a real model."""

from __future__ import annotations

import pytest

from alignment_app.models import Dataset, Prompt
from alignment_app.services import demo
from training.config import RunConfig, datasets, preset_data
from training.domain.verifiers.verify import verify
from training.real_demo.instructions import TEMPLATES, instructions


def test_held_out_instructions_have_subjects_that_training_never_has() -> None:
    training, held_out = (instructions(0, held_out=apart) for apart in (False, True))
    assert len(set(training) | set(held_out)) == len(training) + len(held_out) == 450
    subjects = [subject for group in TEMPLATES for subject in group]
    seen = {subject for subject in subjects if any(subject in text for text in training)}
    tested = {subject for subject in subjects if any(subject in text for text in held_out)}
    assert not seen & tested
    assert instructions(0, held_out=True) == held_out != instructions(1, held_out=True)


@pytest.mark.django_db
def test_the_data_sets_carry_checks_and_fit_the_preset() -> None:
    demo.make_constraint_data()
    demo.make_constraint_data()  # what exists is kept
    assert dict(Dataset.objects.values_list("name", "kind")) == {
        "constraints": "prompts",
        "constraints-test": "prompts",
    }
    assert Prompt.objects.filter(checks=[]).count() == 0
    config = RunConfig.parse(preset_data(demo.REAL_PRESET))
    named = {name for reference in datasets(config) if reference.applies for name in reference.names}
    assert named == set(Dataset.objects.values_list("name", flat=True))
    assert Dataset.objects.get(name="constraints-test").prompts.count() >= config.evaluation.count
    assert Dataset.objects.get(name="constraints").prompts.count() >= config.prompts.count * config.iterations
    assert verify(Prompt.objects.first().checks, "", "").score == 0
