"""Every preset is a valid config, and the presets of a paper have its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from training.config import (
    PRESETS,
    PresetOrigin,
    RunConfig,
    as_overrides,
    preset_data,
    preset_names,
    preset_origin,
    with_overrides,
)

PAPER_001 = {
    "iterations": 2,
    "sft.learning_rate": 5.5e-6,
    "sft.final_learning_rate": 1.1e-6,
    "sft.schedule": "cosine",
    "sft.batch_size": 16,
    "sft.dropout": 0.1,
    "training.loss": "dpo",
    "training.learning_rate": 1e-6,
    "training.final_learning_rate": 1e-7,
    "training.batch_size": 16,
    "training.dropout": 0.1,
    "training.beta": 0.1,
    "training.save_steps": 200,
    "prompts.source": "self_instruct",
    "prompts.temperature": 0.6,
    "prompts.top_p": 0.9,
    "candidates.n": 4,
    "candidates.temperature": 0.7,
    "candidates.top_p": 0.9,
    "judging.k": 3,
    "judging.temperature": 0.7,
    "judging.top_p": 0.9,
    "pairs.rule": "max_min",
    "evaluation.count": 256,
    "evaluator.model": "gpt-4",
    "training.pairs_by_iteration": (3964, 6942),
    "eft.enabled": True,
    "sft.datasets": ("oasst-ift",),
    "prompts.writer_model": "meta-llama/Llama-2-70b-chat-hf",
    "judging.template": "additive_5",
    "training.early_stopping.every": 200,
    "training.early_stopping.count": 253,
    "training.early_stopping.judge": "own",
    "stopping_judge.model": "claude-2",
    "student.model": "meta-llama/Llama-2-70b-hf",
}
PAPER_000 = {
    "iterations": 1,
    "student.model": "microsoft/phi-2",
    "prompts.count": 1000,
    "evaluation.count": 200,
    "evaluation.self_judge_prompts": 200,
    "evaluator.model": "gpt-4-turbo",
    "training.loss": "dpo",
    "prompts.template": "single_instruction",
    "candidates.short_answers": True,
    "judging.template": "additive_5",
    "eft.enabled": True,
}
#: Of the code that Rafailov et al. (2023) published, which Yu et al. follow.
PUBLISHED_DPO = {"warmup_steps": 150, "max_grad_norm": 10.0}
PAPER_003 = {
    **{f"training.{name}": value for name, value in PUBLISHED_DPO.items()},
    "student.max_length": 512,
    "training.beta": 0.1,
    "training.learning_rate": 5e-7,
    "training.optimizer": "rmsprop",
    "training.batch_size": 64,
}
NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
SELECTED_LAMBDA = {"training.lam": "auto", "training.held_out_pairs": 50}
#: A comment that names the place of a number in a paper.
SOURCE = re.compile(r"\b(?:sections?|figure|table|equation|algorithm) \d")


def value_at(config: RunConfig, path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part)
    return value


def test_an_evaluator_of_a_paper_does_not_make_its_preferences() -> None:
    for name in preset_names():
        if preset_origin(name) == PresetOrigin.PAPER:
            assert not RunConfig.parse(preset_data(name)).evaluator_makes_preferences, name


def assert_holds(name: str, numbers: dict[str, Any]) -> None:
    config = RunConfig.parse(preset_data(name))
    found = {path: value_at(config, path) for path in numbers}
    assert found == numbers


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_valid_config(name: str) -> None:
    config = RunConfig.parse(preset_data(name))
    assert config.name


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_survives_a_round_trip_through_yaml_and_json(name: str) -> None:
    config = RunConfig.parse(preset_data(name))
    assert RunConfig.from_yaml(config.to_yaml()) == config
    assert RunConfig.parse(config.to_dict()).config_hash == config.config_hash
    assert as_overrides(name, config) == []


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_starts_with_a_description(name: str) -> None:
    first = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20


def test_presets_have_different_configs() -> None:
    hashes = [RunConfig.parse(preset_data(name)).config_hash for name in preset_names()]
    assert len(set(hashes)) == len(hashes)


def test_llama_2_70b_has_the_values_of_section_3_1_3() -> None:
    assert_holds("llama2-70b-self-rewarding", PAPER_001)


@pytest.mark.parametrize(
    ("paradigm", "candidates"), [("self-reward", 4), ("teacher-reward", 4), ("teacher-demonstration", 1)]
)
def test_phi_2_has_the_values_of_section_4_1(paradigm: str, candidates: int) -> None:
    assert_holds(
        f"phi2-gemini-{paradigm}",
        PAPER_000 | {"paradigm": paradigm.replace("-", "_"), "candidates.n": candidates},
    )


@pytest.mark.parametrize("loss", ["dpo", "ipo", "sr-dpo", "sr-ipo"])
@pytest.mark.parametrize("setup", ["pythia-2.8b-hh-rlhf", "zephyr-7b-ultrafeedback"])
def test_the_self_refined_setups_have_the_values_of_section_4_1(setup: str, loss: str) -> None:
    judged = {"evaluator.model": "gpt-4"} if setup.startswith("pythia") else {"evaluation.enabled": False}
    numbers = PAPER_003 | judged | {"training.loss": loss.replace("-", "_")}
    if setup.startswith("pythia"):
        numbers |= {f"sft.{name}": value for name, value in PUBLISHED_DPO.items()}
    if loss.startswith("sr"):
        numbers |= SELECTED_LAMBDA
    assert_holds(f"{setup}-{loss}", numbers)


def _scalars(node: Any) -> list[Any]:
    return node.value if isinstance(node, yaml.SequenceNode) else [node]


def numbers_of(name: str) -> Iterator[tuple[str, str]]:
    """(field, comment of its line) of every number that a preset sets."""
    text = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
    lines, root = text.splitlines(), yaml.compose(text)

    def walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield from walk(value, f"{path}.{key.value}" if path else key.value)
        elif {part.tag for part in _scalars(node)} <= NUMBERS:
            yield path, lines[node.start_mark.line].partition("#")[2].strip()

    return walk(root, "")


@pytest.mark.parametrize("name", [name for name in preset_names() if preset_origin(name) == PresetOrigin.PAPER])
def test_every_number_with_a_source_is_the_papers(name: str) -> None:
    config = RunConfig.parse(preset_data(name))
    if name.startswith("llama2"):
        own: dict[str, Any] = PAPER_001
    elif name.startswith("phi2"):
        own = PAPER_000 | {"candidates.n": 1 if name.endswith("demonstration") else 4}
    else:
        own = PAPER_003 | SELECTED_LAMBDA
    unsourced = []
    for path, comment in numbers_of(name):
        value = value_at(config, path)
        if "Yuan et al. (2024)" in comment and comment.startswith("not stated") and path in PAPER_001:
            assert value == PAPER_001[path], path
        elif path in own:
            assert value == own[path], path
        elif SOURCE.search(comment) and not comment.startswith("not stated"):
            unsourced.append(path)
    assert not unsourced, "a number that cites a paper is missing in this test's tables"


def test_overrides_and_yaml_give_the_same_config() -> None:
    name = "smollm2-135m-first-run"
    assignments = ["name=Löwe & Co", "training.beta=0.25", "sft.datasets=[one, two]", "sft.enabled=true"]
    config = RunConfig.parse(with_overrides(preset_data(name), assignments))
    again = RunConfig.parse(with_overrides(preset_data(name), as_overrides(name, config)))
    assert again == config
    assert again.config_hash == RunConfig.from_yaml(config.to_yaml()).config_hash
