"""Config fields that name data sets: a launch is refused for a missing data set or one of another kind."""

from __future__ import annotations

from typing import Any

import pytest

from alignment_app.forms import LaunchForm
from alignment_app.models import Dataset, Run
from alignment_app.pages.launching import DatasetChoice
from alignment_app.services import runs
from tests.support import stories
from training.config import ConfigError, RunConfig, dataset_fields, dataset_names, datasets
from training.config.datasets import DatasetRef
from training.domain.importing import DATASET_KINDS

pytestmark = pytest.mark.django_db

FIELDS = dataset_fields(RunConfig)
#: A config in which every field below has an effect, but for those that exclude each other.
ON: dict[str, Any] = {
    "eft": {"enabled": True, "dataset": "set of eft.dataset"},
    "sft": {"datasets": ["set of sft.datasets", "another set of sft.datasets"]},
    "prompts": {"dataset": "set of prompts.dataset"},
    "training": {"early_stopping": {"dataset": "set of training.early_stopping.dataset"}},
    "evaluation": {"dataset": "set of evaluation.dataset", "pairs": "set of evaluation.pairs"},
}


def config_of(field: str) -> RunConfig:
    """A config in which ``field`` names a data set and has an effect."""
    section, _, leaf = field.rpartition(".")
    data = {**stories.BASE, **ON}
    if leaf == "from_dataset":
        data[section] = {leaf: f"set of {field}"}
    return RunConfig.parse(data)


def make_datasets(config: RunConfig, *, without: str = "", kind: str = "") -> None:
    """Create the data sets of a config, except that of the field ``without``, or with the kind ``kind``."""
    for named in datasets(config):
        for name in named.names if named.applies else ():
            if named.field != without:
                Dataset.objects.get_or_create(name=name, kind=(named.ref.kinds or DATASET_KINDS)[0])
            elif kind:
                Dataset.objects.get_or_create(name=name, kind=kind)


def test_the_kinds_are_those_of_the_database_and_every_condition_names_a_field() -> None:
    assert tuple(Dataset.Kind.values) == DATASET_KINDS
    known = set(LaunchForm({}).by_path)
    assert {field.removeprefix("!").partition("=")[0] for ref in FIELDS.values() for field in ref.when} <= known
    assert len(FIELDS) >= 8


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_data_set_is_refused_with_its_field_and_a_remedy(field: str) -> None:
    config = config_of(field)
    make_datasets(config, without=field)
    names = next(named.names for named in datasets(config) if named.field == field)
    assert set(names) <= set(dataset_names(config))
    with pytest.raises(ConfigError) as refusal:
        runs.launch(config)
    assert refusal.value.problems == [
        (field, f"there is no data set named {name!r}; import it first") for name in names
    ]
    assert not Run.objects.exists()
    make_datasets(config)
    assert runs.launch(config).status == Run.Status.QUEUED


@pytest.mark.parametrize("field", [field for field, ref in FIELDS.items() if ref.kinds])
def test_a_data_set_of_another_kind_is_refused_at_launch_and_not_offered_in_the_form(field: str) -> None:
    config, ref = config_of(field), FIELDS[field]
    wrong = next(kind for kind in DATASET_KINDS if kind not in ref.kinds)
    make_datasets(config, without=field, kind=wrong)
    with pytest.raises(ConfigError) as refusal:
        runs.check_names(config)
    assert {path for path, _ in refusal.value.problems} == {field}
    choices = [DatasetChoice("wrong", wrong, 1), DatasetChoice("right", ref.kinds[0], 1)]
    offered = dict(LaunchForm({}, choices).by_path[field].choices)
    assert "right" in offered
    assert "wrong" not in offered


@pytest.mark.parametrize("field", [field for field, ref in FIELDS.items() if ref.required])
def test_a_field_that_has_to_name_a_data_set_says_so(field: str) -> None:
    data = config_of(field).to_dict()
    target = data
    *parents, leaf = field.split(".")
    for parent in parents:
        target = target[parent]
    target[leaf] = ""
    with pytest.raises(ConfigError) as refusal:
        RunConfig.parse(data)
    assert (field, FIELDS[field].required) in refusal.value.problems


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_without_effect_is_not_checked_and_not_shown(field: str) -> None:
    config = config_of(field)
    off = FIELDS[field].when[-1]
    assert LaunchForm.from_data(config.to_dict()).by_path[field].applies
    data = config.to_dict()
    section, _, leaf = off.removeprefix("!").rpartition(".")
    target = data[section] if section else data
    target[leaf] = "a set" if off.startswith("!") else {"iterations": 0, "early_stopping": None}.get(leaf, False)
    if off == "sft.enabled":
        data["eft"]["enabled"] = False
    if leaf == "from_dataset":
        target[leaf] = "a set"
    changed = RunConfig.parse(data)
    assert not next(named for named in datasets(changed) if named.field == field).applies
    assert not LaunchForm.from_data(changed.to_dict()).by_path[field].applies


def test_a_condition_names_a_field_that_is_on_or_off_or_has_a_value() -> None:
    def applies(*when: str) -> bool:
        values = {"iterations": 2, "pairs.from_dataset": "", "prompts.source": "self_instruct"}
        return DatasetRef(when=when).applies(values.__getitem__)

    assert applies("iterations", "!pairs.from_dataset", "prompts.source=self_instruct")
    assert not applies("pairs.from_dataset")
    assert not applies("!iterations")
    assert not applies("iterations", "prompts.source=dataset")
    assert applies("!prompts.source=dataset")
