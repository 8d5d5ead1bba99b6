"""What the tests of every door share: a config that can be launched, and people in each role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alignment_app.forms import LaunchForm
from alignment_app.pages.launching import dataset_choices
from alignment_app.services.imports import import_rows
from training.config import RunConfig


def small_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """A config whose data sets and model folder exist."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    import_rows("ift", "demonstrations", [{"prompt": "p", "response": "r"}])
    import_rows("prompts", "prompts", [{"prompt": f"prompt {number}"} for number in range(4)])
    return {
        "name": "Small",
        "paradigm": "self_reward",
        "iterations": 1,
        "student": {"model": str(model)},
        "sft": {"datasets": ["ift"]},
        "prompts": {"dataset": "prompts", "count": 2},
        "evaluation": {"dataset": "prompts", "count": 2},
        **changes,
    }


def sent_form(config: dict[str, Any]) -> dict[str, Any]:
    """The launch form of a config, as a browser sends it."""
    form = LaunchForm.from_data(RunConfig.parse(config).to_dict(), dataset_choices())
    sent = {item.path: item.value for item in form.fields if item.kind != "switch"}
    switches = {item.path: "on" for item in form.fields if item.kind == "switch" and item.value}
    return sent | switches | {"preset": "", "clone": ""}
