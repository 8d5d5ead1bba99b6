"""Trackers: TensorBoard files read back, W&B offline, MLflow with a local store, and a failing one."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event  # at the top: it imports torch, whose time is not the tracker's

from training.trainers import trackers
from training.trainers.trackers import MLflow, TensorBoard, Trackers, Training, WeightsAndBiases, configured


def _point(step: int, **more: float) -> dict[str, Any]:
    return {"step": step, "total_steps": 6, "loss": 0.7 / step, "margin": 0.1 * step, "seconds": 2.0 * step, **more}


def _training(folder: Path) -> Training:
    return Training("plumbline-0123", "a run M2", "a run (run 1)", folder, {"loss": "dpo", "beta": 0.1, "lora": None})


def _read(folder: Path) -> list[Any]:
    """Parse the events of the TensorBoard file in a folder: length, checksum, event, checksum."""
    (path,) = folder.glob("events.out.tfevents.*")
    raw, place, found = path.read_bytes(), 0, []
    while place < len(raw):
        (length,) = struct.unpack_from("<Q", raw, place)
        found.append(Event.FromString(raw[place + 12 : place + 12 + length]))
        place += 16 + length
    return found


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in _read(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboards_file_holds_every_step_under_names_in_groups(tmp_path: Path) -> None:
    said: list[str] = []
    both = Trackers(_training(tmp_path), said.append, [TensorBoard])
    for step in (1, 2, 3):
        both.log(_point(step, memory_bytes=5e9, kl=0.5))
    both.close()
    found = _scalars(tmp_path / "tensorboard")
    assert set(found) == {
        "training/loss", "rewards/margin", "rewards/kl", "machine/memory_bytes", "machine/seconds",
    }  # fmt: skip
    assert [step for step, _ in found["training/loss"]] == [1, 2, 3]
    assert [value for _, value in found["rewards/margin"]] == pytest.approx([0.1, 0.2, 0.3])
    times = [event.wall_time for event in _read(tmp_path / "tensorboard") if event.summary.value]
    assert times[-1] - times[0] == pytest.approx(4.0)
    assert not said


def test_a_resumed_training_has_no_step_twice(tmp_path: Path) -> None:
    first = Trackers(_training(tmp_path), pytest.fail, [TensorBoard])
    for step in (1, 2, 3, 4):
        first.log(_point(step))
    first.close()
    second = Trackers(_training(tmp_path), pytest.fail, [TensorBoard])
    for step in range(1, 7):  # a resumed trainer reports the earlier steps again
        second.log(_point(step))
    second.close()
    assert [step for step, _ in _scalars(tmp_path / "tensorboard")["training/loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_training_that_reports_nothing_leaves_the_files_alone(tmp_path: Path) -> None:
    first = Trackers(_training(tmp_path), pytest.fail, [TensorBoard])
    first.log(_point(1))
    first.close()
    Trackers(_training(tmp_path), pytest.fail, [TensorBoard]).close()
    assert _scalars(tmp_path / "tensorboard")


class _Failing:
    name = "A broken tracker"

    def __init__(self, training: Training) -> None:
        self.opened = training

    def log(self, point: Any) -> None:
        raise ConnectionError("the server is away\nand so on")

    def close(self) -> None:
        raise AssertionError("never reached")


def test_a_failing_tracker_is_reported_once_and_the_others_continue(tmp_path: Path) -> None:
    said: list[str] = []
    both = Trackers(_training(tmp_path), said.append, [_Failing, TensorBoard])
    for step in range(1, 7):
        both.log(_point(step))
    both.close()
    assert said == ["A broken tracker was disabled for this training (ConnectionError: the server is away)."]
    assert len(_scalars(tmp_path / "tensorboard")["training/loss"]) == 6


def test_a_hanging_tracker_is_awaited_for_a_limited_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    class Hanging(_Failing):
        name = "A slow tracker"

        def log(self, point: Any) -> None:
            let_go.wait()

        def close(self) -> None:
            pass

    monkeypatch.setattr(trackers, "CLOSE_SECONDS", 0.2)
    said: list[str] = []
    slow = Trackers(_training(tmp_path), said.append, [Hanging])
    slow.log(_point(1))
    slow.close()
    let_go.set()
    assert len(said) == 1
    assert said[0].startswith("A slow tracker took more than 0 s")


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    class Absent(_Failing):
        name = "MLflow"

        def __init__(self, training: Training) -> None:
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")

    said: list[str] = []
    one = Trackers(_training(tmp_path), said.append, [Absent])
    one.log(_point(1))
    one.close()
    assert said == [
        "MLflow is configured and mlflow is not installed. Install the extra 'mlflow' where the worker runs."
    ]


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ["TensorBoard"]),
        ({"WANDB_API_KEY": "k"}, ["TensorBoard", "Weights & Biases"]),
        ({"WANDB_MODE": "offline"}, ["TensorBoard", "Weights & Biases"]),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "disabled"}, ["TensorBoard"]),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}, ["TensorBoard", "MLflow"]),
    ],
)
def test_the_environment_selects_the_trackers(environment: dict[str, str], names: list[str]) -> None:
    assert [kind.name for kind in configured(environment)] == names


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    mlflow = pytest.importorskip("mlflow")
    address = f"file://{tmp_path / 'mlflow'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return mlflow.MlflowClient(tracking_uri=address)


def test_mlflow_has_one_run_per_training_and_a_resume_continues_it(tmp_path: Path, mlflow_store: Any) -> None:
    for last in (4, 6):
        one = Trackers(_training(tmp_path), pytest.fail, [MLflow])
        for step in range(1, last + 1):
            one.log(_point(step))
        one.close()
    experiment = mlflow_store.get_experiment_by_name("plumbline")
    (run,) = mlflow_store.search_runs([experiment.experiment_id])
    assert [metric.step for metric in mlflow_store.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3, 4, 5, 6]
    assert (run.info.run_name, run.info.status, run.data.params["beta"]) == ("a run M2", "FINISHED", "0.1")


def test_weights_and_biases_writes_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(trackers, "CLOSE_SECONDS", 120.0)
    one = Trackers(_training(tmp_path), pytest.fail, [WeightsAndBiases])
    for step in range(1, 7):
        one.log(_point(step))
    one.close()
    (written,) = (tmp_path / "wandb").glob("offline-run-*/run-plumbline-0123.wandb")
    assert os.path.getsize(written) > 500
