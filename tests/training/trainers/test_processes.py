"""Two processes train like one: the same losses, one model, and no orphaned process."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from training.config import PreferenceConfig, SFTConfig
from training.trainers import launch
from training.trainers.preference import train_preference
from training.trainers.results import Stopped, TrainingError, TrainResult
from training.trainers.sft import train_sft

TWO = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--rdzv_backend=c10d",
       "--rdzv_endpoint=localhost:0")  # fmt: skip
PREFERENCE = PreferenceConfig(
    loss="sr_dpo", learning_rate=3e-3, final_learning_rate=3e-4, batch_size=4, micro_batch_size=2, epochs=2,
    save_steps=2,
)  # fmt: skip
FINE_TUNING = SFTConfig(
    datasets=("d",), learning_rate=3e-3, final_learning_rate=3e-4, batch_size=4, micro_batch_size=2, epochs=2
)
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"Say {n} {'more ' * (n % 5)}"}],
        "chosen": [{"role": "assistant", "content": f"yes {n}"}],
        "rejected": [{"role": "assistant", "content": f"no, not {n * n}"}],
        "pair_id": n,
    }
    for n in range(13)  # the last step has one pair, so the second process has only a row of weight 0
]
ROWS = [
    {"messages": pair["prompt"], "completion": "yes " * (1 + n % 4), "weights": [[0, 3, 2.0]]}
    for n, pair in enumerate(PAIRS)
]


@pytest.fixture
def two(little_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[TrainResult, list[dict[str, Any]]]]:
    """Train in two processes on the CPU."""
    for name, value in {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}.items():
        monkeypatch.setenv(name, value)

    def run(kind: str, folder: Path, stop: bool = False, **changes: Any) -> tuple[TrainResult, list[dict[str, Any]]]:
        points: list[dict[str, Any]] = []
        settings: dict[str, Any] = {
            "rows": PAIRS if kind == "preference" else ROWS, "launcher": TWO, "model": str(little_model), "seed": 3,
            "config": PREFERENCE if kind == "preference" else FINE_TUNING, "max_length": 256,
            "should_stop": lambda: stop and bool(points),
        }  # fmt: skip
        if kind == "preference":
            settings["reference"] = str(little_model)
        settings |= changes
        result = launch.train(kind, settings.pop("rows"), output_dir=folder, report=points.append, **settings)
        return result, points

    return run


def _same(one: list[dict[str, Any]], other: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    assert [point["step"] for point in one] == [point["step"] for point in other]
    for name in names:
        assert [point[name] for point in one] == pytest.approx([point[name] for point in other], abs=1e-5, rel=1e-5)


def _same_weights(one: Path, other: Path) -> None:
    left, right = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (one, other))
    for name in left:
        assert torch.allclose(left[name], right[name], atol=5e-5), name


def test_two_processes_give_the_losses_and_the_weights_of_one(
    two: Callable[..., Any], little_model: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    together, points = two("preference", tmp_path / "two", store=tmp_path / "store", say=said.append)
    alone: list[dict[str, Any]] = []
    single = train_preference(
        PAIRS, model=str(little_model), reference=str(little_model), output_dir=tmp_path / "one", config=PREFERENCE,
        seed=3, report=alone.append, should_stop=lambda: False, max_length=256, store=tmp_path / "store",
        say=said.append,
    )  # fmt: skip
    _same(points, alone, ("loss", "margin", "accuracy", "chosen_reward", "augmented_margin", "grad_norm", "tokens"))
    _same_weights(together.model_dir, single.model_dir)
    assert (together.steps, together.tokens) == (single.steps, single.tokens)
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["model"]
    assert said == [
        "Reference log-probabilities: 0 of 13 pairs found, 13 to compute.",
        "Reference log-probabilities: 13 of 13 pairs found, 0 to compute.",
    ]


@pytest.mark.slow
def test_fine_tuning_in_two_processes_gives_the_losses_of_one(
    two: Callable[..., Any], little_model: Path, tmp_path: Path
) -> None:
    together, points = two("sft", tmp_path / "two")
    alone: list[dict[str, Any]] = []
    single = train_sft(
        ROWS, model=str(little_model), output_dir=tmp_path / "one", config=FINE_TUNING, seed=3, report=alone.append,
        should_stop=lambda: False, max_length=256,
    )  # fmt: skip
    _same(points, alone, ("loss", "grad_norm", "tokens"))
    _same_weights(together.model_dir, single.model_dir)


@pytest.mark.slow
def test_both_processes_stop_and_resume(two: Callable[..., Any], tmp_path: Path) -> None:
    config = PREFERENCE.model_copy(update={"epochs": 12.0, "save_steps": 100})
    with pytest.raises(Stopped) as stopped:
        two("preference", tmp_path / "run", stop=True, config=config)
    resumed, points = two("preference", tmp_path / "run", config=config)
    assert resumed.resumed_from == stopped.value.step > 0
    whole, undisturbed = two("preference", tmp_path / "whole", config=config)
    assert [point["loss"] for point in points] == [point["loss"] for point in undisturbed]
    _same_weights(resumed.model_dir, whole.model_dir)


def test_errors_of_the_trainer_are_passed_on_and_a_failing_launcher_shows_its_output(
    two: Callable[..., Any], tmp_path: Path
) -> None:
    config = PREFERENCE.model_copy(update={"batch_size": 5, "micro_batch_size": 5})
    with pytest.raises(TrainingError, match="5 rows per step cannot be divided evenly between 2 processes"):
        two("preference", tmp_path / "uneven", config=config)
    with pytest.raises(TrainingError, match="could not be started"):
        two("preference", tmp_path / "absent", launcher=("no-such-launcher",))
    fails = (sys.executable, "-c", "import sys; sys.exit('no such GPU')")
    with pytest.raises(TrainingError, match=r"ended with code 1\. Their last output: no such GPU"):
        two("preference", tmp_path / "fails", launcher=fails)


@pytest.mark.slow
def test_processes_exit_when_their_caller_dies(tmp_path: Path, little_model: Path) -> None:
    """The processes of a killed caller exit by themselves."""
    script = f"""
import sys
from pathlib import Path
from training.config import PreferenceConfig
from training.trainers import launch
pair = {PAIRS[0]!r}
launch.train("preference", [pair] * 4, launcher=[sys.executable], output_dir=Path({str(tmp_path)!r}),
    config=PreferenceConfig(epochs=100, batch_size=1, micro_batch_size=1), report=lambda point: None,
    should_stop=lambda: False, model={str(little_model)!r}, reference={str(little_model)!r}, seed=1)
"""
    caller = psutil.Popen([sys.executable, "-c", script], cwd=launch.ROOT)
    try:
        while not list((tmp_path / "launch").glob("process-*.json")):
            assert caller.poll() is None
            time.sleep(0.1)
        children = caller.children(recursive=True)
        assert children
    finally:
        caller.kill()
        caller.wait()
    gone, alive = psutil.wait_procs(children, timeout=60)
    assert (len(gone), alive) == (len(children), [])


def test_processes_of_an_earlier_caller_are_terminated_first(tmp_path: Path) -> None:
    left = psutil.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    threading.Thread(target=left.wait, daemon=True).start()
    folder = tmp_path / "launch"
    folder.mkdir()
    (folder / "process-1.json").write_text(f"[{left.pid}, {left.create_time()}]")
    with pytest.raises(TrainingError):
        launch.train(
            "sft", [], launcher=[sys.executable, "-c", "raise SystemExit(1)"], output_dir=tmp_path, config=FINE_TUNING,
            report=lambda point: None, should_stop=lambda: False, model="none", seed=0,
        )  # fmt: skip
    assert not left.is_running()
