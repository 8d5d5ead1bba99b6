"""Stored configs of every version that Plumbline has written open, and those that the present rules refuse do as well.

``tests/fixtures/configs`` has a file for each version: the commit, the default config that it wrote, and what its
presets (and the optional sections) change in it, by dotted field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Dataset, Iteration, Run
from alignment_app.services import datasets as dataset_services
from alignment_app.services import studies
from alignment_app.services.errors import Refused
from tests.support import stories
from training.config import UPGRADES, VERSION, ConfigError, RunConfig, dataset_fields, flatten, read_stored
from training.config import upgrades as upgrades_module

pytestmark = pytest.mark.django_db

FIXTURES = Path(__file__).parents[1] / "fixtures" / "configs"
#: config_hash of the miniature's preset as it was before configs had a version.
DEMO_HASH = "cdd248e8c190c200a1e4177acd74ba214cb505810569be2d214778743695d246"


def stored_configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """(commit and name, config) of every config in the fixtures."""
    for path in sorted(FIXTURES.glob("*.json")):
        version = json.loads(path.read_text(encoding="utf-8"))
        yield f"{version['commit']} defaults", version["defaults"]
        for name, changes in version["changes"].items():
            data = json.loads(json.dumps(version["defaults"]))
            for field, value in changes.items():
                *parents, leaf = field.split(".")
                target = data
                for parent in parents:
                    target[parent] = target.get(parent) or {}
                    target = target[parent]
                target[leaf] = value
            yield f"{version['commit']} {name}", data


def one_of_each_structure() -> dict[str, dict[str, Any]]:
    """The first config with each distinct set of fields."""
    found: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    for name, data in stored_configs():
        found.setdefault(tuple(field for field, _ in flatten(data)), (name, data))
    return dict(found.values())


STRUCTURES = one_of_each_structure()
#: What a config may hold that the present rules refuse: a removed field and section, and values out of later limits.
REFUSED: dict[str, dict[str, Any]] = {
    "a removed field": {"training": {"kto_weight": 0.5}},
    "a removed section": {"distillation": {"enabled": True, "teacher": {"model": "x"}}},
    "a limit that came later": {"training": {"beta": 0, "micro_batch_size": 0}},
    "a choice that was removed": {"training": {"loss": "trl:kto"}},
    "a rule across fields that came later": {"eft": {"enabled": True}, "sft": {"enabled": False}},
    "values of other types": {"iterations": "two", "sft": {"datasets": "one"}, "training": {"lora": 7}},
    "a later version": {"version": VERSION + 1},
}


def refused(name: str) -> dict[str, Any]:
    data = RunConfig.parse(stories.BASE).to_dict()
    for section, values in REFUSED[name].items():
        data[section] = {**data.get(section, {}), **values} if isinstance(values, dict) else values
    return data


def run_of(data: Any, name: str = "stored") -> Run:
    """A finished run with this config, as an earlier version left it."""
    run = Run.objects.create(name=name, config=data, config_hash="0", paradigm="self_reward", status="finished")
    iteration = Iteration.objects.create(run=run, number=0)
    Checkpoint.objects.create(run=run, iteration=iteration, number=1, kind="sft", config_hash="0", location="x")
    return run


def opens_everywhere(client: Client, data: Any) -> Run:
    run, other = run_of(data), run_of(RunConfig.parse(stories.BASE).to_dict(), "other")
    addresses = [
        reverse("runs"),
        reverse("run", args=[run.pk]),
        reverse("run-config", args=[run.pk]),
        f"{reverse('compare')}?run={run.pk}&run={other.pk}",
        f"{reverse('launch')}?clone={run.pk}",
        f"/api/v1/runs/{run.pk}/",
    ]
    assert {address: client.get(address).status_code for address in addresses} == dict.fromkeys(addresses, 200)
    return run


def test_the_fixtures_are_of_many_versions_and_the_newest_is_the_present_structure() -> None:
    assert len(list(FIXTURES.glob("*.json"))) >= 18
    assert len(STRUCTURES) >= 12
    newest = [name for name, _ in flatten(list(STRUCTURES.values())[-1])]
    present = [name for name, _ in flatten(RunConfig.parse(stories.BASE).to_dict()) if name != "version"]
    assert set(present) - {"training.lora", "training.early_stopping"} <= set(newest)


def test_every_config_in_history_reads_leniently_without_notes_and_strictly_with_the_same_result() -> None:
    for name, data in stored_configs():
        stored = read_stored(data)
        assert stored.is_valid, (name, stored.notes, stored.unknown)
        assert stored.config == RunConfig.parse(stored.data) == RunConfig.parse(data), name
        kept = dict(flatten(stored.config.to_dict()))
        assert {field: kept[field] for field, _ in flatten(data)} == dict(flatten(data)), name


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_pages_of_a_run_of_any_version_open(as_role: Any, name: str) -> None:
    opens_everywhere(as_role("lead"), STRUCTURES[name])


@pytest.mark.parametrize("name", REFUSED)
def test_the_pages_of_a_run_that_the_present_rules_refuse_open_and_a_launch_is_refused_by_field(
    as_role: Any, name: str
) -> None:
    data = refused(name)
    run = opens_everywhere(as_role("lead"), data)
    stored = run.stored_config
    assert not stored.is_valid
    with pytest.raises(ConfigError) as strict:
        RunConfig.parse(stored.data)
    fields = {field for field, _ in strict.value.problems}
    assert all(any(f"{part}.".startswith(f"{field}.") for field in fields) for part in stored.unknown)
    assert fields <= {field for field, _ in stored.notes} | {field.split(".")[0] for field in stored.unknown} | set(
        stored.unknown
    )
    page = as_role("lead").get(reverse("run", args=[run.pk])).content.decode()
    assert 'id="config-notes"' in page
    with pytest.raises(ConfigError):
        studies.plan({"name": "again", "run": str(run.pk), "vary": {"seed": [1, 2]}})
    answer = as_role("lead").post(f"/api/v1/runs/{run.pk}/clone/", {}, content_type="application/json")
    assert answer.status_code == 400


def test_values_that_the_rules_refuse_are_kept_and_shown() -> None:
    config = read_stored(refused("a limit that came later")).config
    assert (config.training.beta, config.training.micro_batch_size) == (0, 0)
    assert read_stored(refused("a choice that was removed")).config.training.loss == "trl:kto"  # type: ignore[comparison-overlap]
    unknown = read_stored(refused("a removed section"))
    assert unknown.unknown == {"distillation.enabled": True, "distillation.teacher.model": "x"}
    assert unknown.to_yaml().startswith("# distillation.enabled: True")
    assert RunConfig.from_yaml(unknown.to_yaml()) == unknown.config


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"student": None},
        {"version": "x"},
        {"training": {"lora": {"rank": "x", "old": 1}}},
        {"": {}},
    ],
)
def test_the_lenient_read_never_raises(data: Any) -> None:
    stored = read_stored(data)
    assert stored.notes
    assert stored.to_yaml()
    assert stored.config.config_hash


def test_an_upgrade_runs_once_for_each_version_and_the_strict_read_upgrades_what_states_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        data["seed"] = data.pop("random_seed", 0)
        return data

    monkeypatch.setitem(upgrades_module.UPGRADES, 0, renamed)
    data = {**RunConfig.parse(stories.BASE).to_dict(), "random_seed": 5}
    del data["version"], data["seed"]
    stored = read_stored(data)
    assert stored.is_valid
    assert stored.config.seed == 5
    assert data["random_seed"] == 5
    assert RunConfig.parse({**data, "version": 0}).seed == 5
    with pytest.raises(ConfigError) as refusal:
        RunConfig.parse(data)  # without a version: read as the current one
    assert refusal.value.problems[0][0] == "random_seed"
    assert set(UPGRADES) == set(range(VERSION))


def test_the_hash_of_a_config_is_what_it_was_before_configs_had_a_version() -> None:
    from training.config import preset_data

    assert RunConfig.parse(preset_data("miniature-teacher-reward")).config_hash == DEMO_HASH


@pytest.mark.parametrize("field", dataset_fields(RunConfig))
def test_a_data_set_that_a_run_needs_is_not_removed(field: str) -> None:
    data = RunConfig.parse(stories.BASE).to_dict()
    *parents, leaf = field.split(".")
    target = data
    for parent in parents:
        target[parent] = target.get(parent) or {}
        target = target[parent]
    target[leaf] = ["needed"] if isinstance(target.get(leaf), list) else "needed"
    run = run_of({**data, "a_field_of_old": 1})
    Run.objects.update(status=Run.Status.RUNNING)
    dataset = Dataset.objects.create(name="needed", kind="prompts")
    with pytest.raises(Refused) as refusal:
        dataset_services.remove(dataset)
    assert refusal.value.code == "in-use"
    Run.objects.filter(pk=run.pk).update(status=Run.Status.CANCELLED)
    dataset_services.remove(dataset)
    assert not Dataset.objects.filter(name="needed").exists()
