"""Messages on insufficient disk space and memory, with settings that fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from training.config import RunConfig, preset_data
from training.estimate import estimate, training_bytes, training_disk_bytes
from training.fitting import missing_disk, settings_that_fit
from training.hardware import Gpu, Hardware
from training.model_size import model_size
from training.speed import speed_of

GIB = 2**30
SERVER = Hardware(16, 128 * GIB, 1000 * GIB, (Gpu("NVIDIA H100 80GB HBM3", 80 * GIB),))
MODEL = "acme/model-7b"


def _config(**training: Any) -> RunConfig:
    data = preset_data("smollm2-135m-first-run")
    data["student"]["model"] = MODEL
    data["training"] |= {"batch_size": 16, "micro_batch_size": 8} | training
    return RunConfig.parse(data)


def _bytes(config: RunConfig) -> float:
    size = model_size(MODEL)
    assert size is not None
    return training_bytes(config, size, speed_of(config, SERVER), "training")


def test_checkpointing_needs_much_less_memory() -> None:
    config = _config(gradient_checkpointing=True)
    assert _bytes(config) < _bytes(_config())
    small = Hardware(16, 10**12, None, (Gpu("NVIDIA H100 80GB HBM3", 80 * GIB),))
    with_it, without = (estimate(run, small).memory_bytes for run in (config, _config()))
    assert with_it is not None
    assert without is not None
    assert with_it <= without


def test_missing_disk_space_is_reported_with_its_amount(tmp_path: Path) -> None:
    config = _config()
    size = model_size(MODEL)
    assert size is not None
    needed = training_disk_bytes(config, size, "training")
    assert (
        needed == 3 * 3 * size.parameters * 4 + size.parameters * 4
    )  # three checkpoints with both AdamW states, and the model
    assert missing_disk(config, "training", MODEL, tmp_path, needed) == ""
    said = missing_disk(config, "training", MODEL, tmp_path, needed - 5 * GIB)
    assert "Free 5.0 GiB, or set PLUMBLINE_HOME" in said
    (tmp_path / "checkpoint").write_bytes(b"x" * 1000)
    assert missing_disk(config, "training", MODEL, tmp_path, needed - 1000) == ""


def test_the_suggested_settings_fit_by_the_estimate() -> None:
    config = _config(lora={"rank": 8}, micro_batch_size=8)
    said = settings_that_fit(config, "training", MODEL, SERVER)
    found = re.search(r"training\.micro_batch_size to (\d+)", said)
    assert found, said
    assert 1 <= int(found[1]) < 8
    changed = _config(lora={"rank": 8}, micro_batch_size=int(found[1]))
    assert _bytes(changed) <= 0.75 * _bytes(config)
    assert f"{_bytes(changed) / GIB:.1f} GiB" in said


def test_if_no_batch_size_fits_other_settings_are_suggested() -> None:
    said = settings_that_fit(_config(), "training", MODEL, SERVER)  # 7 billion parameters with AdamW fit only with LoRA
    assert "training.lora" in said
    assert "training.micro_batch_size" in settings_that_fit(_config(), "training", "acme/unknown", SERVER)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("training/accelerate/*.yaml")), ids=str)
def test_accelerate_reads_every_launch_config(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    loaded = load_config_from_file(str(path))
    assert json.dumps(loaded.to_dict())
    assert yaml.safe_load(path.read_text())["mixed_precision"] == "no"
