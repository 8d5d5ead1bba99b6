"""The registry of losses and its users."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from alignment_app.forms import LaunchForm
from training.config import LossName, PreferenceConfig, RunConfig
from training.domain.loss_specs import LOSS_FIELDS, LOSSES, LossSpec, loss_label
from training.trainers.losses import loss_function
from training.trainers.preference import _arguments

ROOT = Path(__file__).parents[3]
COMPUTED_HERE = [spec for spec in LOSSES.values() if not spec.is_trl]
COMPUTED_BY_TRL = [spec for spec in LOSSES.values() if spec.is_trl]


def test_the_config_accepts_each_loss_and_no_other() -> None:
    assert get_args(LossName) == tuple(LOSSES)
    assert RunConfig.model_json_schema()["$defs"]["PreferenceConfig"]["properties"]["loss"]["enum"] == list(LOSSES)
    assert all(PreferenceConfig(loss=name).loss == name for name in LOSSES)
    with pytest.raises(ValueError):
        PreferenceConfig(loss="sr_unknown")


@pytest.mark.parametrize("spec", COMPUTED_HERE, ids=lambda spec: spec.name)
def test_a_function_takes_the_fields_of_its_entry(spec: LossSpec) -> None:
    parameters = inspect.signature(loss_function(spec)).parameters
    takes = {name for name, item in parameters.items() if item.kind is item.KEYWORD_ONLY}
    assert takes == {*spec.fields} | ({"delta"} if spec.is_refined else set())


def test_fields_are_those_of_the_config() -> None:
    assert set(LOSS_FIELDS) <= set(PreferenceConfig.model_fields)


@pytest.mark.parametrize("spec", COMPUTED_BY_TRL, ids=lambda spec: spec.name)
def test_trl_gets_its_own_name_and_arguments(spec: LossSpec, tmp_path: Path) -> None:
    arguments = _arguments(PreferenceConfig(loss=spec.name), output_dir=tmp_path, seed=0, dtype="float32", at_once=1)
    assert arguments.loss_type == [spec.trl_name]
    assert arguments.label_smoothing == {"robust": 0.1, "exo_pair": 1e-3}.get(spec.trl_name, 0.0)


@pytest.mark.parametrize("spec", LOSSES.values(), ids=lambda spec: spec.name)
def test_the_form_shows_the_fields_that_the_loss_uses(spec: LossSpec) -> None:
    form = LaunchForm.from_data({"training": {"loss": spec.name}})
    assert {name for name in LOSS_FIELDS if form.by_path[f"training.{name}"].applies} == {*spec.fields}
    assert dict(form.by_path["training.loss"].choices)[spec.name] == spec.label
    assert PreferenceConfig(loss=spec.name).refines == spec.is_refined


def test_an_unknown_loss_keeps_its_name() -> None:
    assert loss_label("sr_dpo") == "Sr-DPO"
    assert loss_label("removed") == "removed"


def test_the_documentation_lists_every_loss() -> None:
    documented = set(re.findall(r"`((?:trl:)?\w+)`", (ROOT / "docs/training.md").read_text(encoding="utf-8")))
    assert set(LOSSES) <= documented


def test_the_entries_import_no_torch() -> None:
    code = "import sys, training.domain.loss_specs, training.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
