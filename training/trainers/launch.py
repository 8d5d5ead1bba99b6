"""Train in several processes, started by ``accelerate launch`` or ``torchrun``.

The caller writes the training's arguments into a folder, starts the launcher with this module, and reads a file to
which the processes write curve points, messages and their result. No process is orphaned: it exits within a second if
its caller has died or its folder belongs to a later launch, and a caller first ends the processes of earlier ones.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import psutil

from training.config import PreferenceConfig, SFTConfig
from training.trainers.results import (
    OutOfMemory,
    Report,
    Say,
    ShouldStop,
    Stopped,
    TrainingError,
    TrainResult,
    say_nothing,
)

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER, REQUEST, MESSAGES, STOP, OUTPUT = "launch", "request.json", "messages.jsonl", "stop", "output.txt"
POLL_SECONDS: Final = 0.2
_TRAINERS: Final = {
    "sft": ("training.trainers.sft", "train_sft", SFTConfig),
    "preference": ("training.trainers.preference", "train_preference", PreferenceConfig),
}


def train(
    kind: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    launcher: Sequence[str],
    output_dir: Path,
    config: SFTConfig | PreferenceConfig,
    report: Report,
    should_stop: ShouldStop,
    say: Say = say_nothing,
    store: Path | None = None,
    **arguments: Any,
) -> TrainResult:
    """:func:`train_sft` or :func:`train_preference` (``kind``), in the processes that ``launcher`` starts.

    ``launcher`` is a command that takes ``-m module argument``, such as ``accelerate launch --config_file …``. Other
    arguments, results and errors are those of the trainer. If the launcher itself fails, raises
    :class:`TrainingError` with the end of its output.
    """
    folder = output_dir / FOLDER
    _terminate_processes(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    request: dict[str, Any] = {"kind": kind, "rows": list(rows), "output_dir": str(output_dir)}
    request |= {"config": config.model_dump(mode="json")}
    request |= {"store": str(store) if store else None, "arguments": arguments}
    request |= {"token": uuid.uuid4().hex, "caller": _identity(psutil.Process())}
    (folder / REQUEST).write_text(json.dumps(request))
    command = [*_resolved(launcher), "-m", __name__, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        with (folder / OUTPUT).open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    except OSError as error:
        raise TrainingError(f"{command[0]!r} could not be started: {error}. Look at PLUMBLINE_TRAIN_LAUNCH.") from error
    try:
        result = _follow(process, folder, report, say, should_stop)
    finally:
        _terminate_processes(folder, process)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _resolved(launcher: Sequence[str]) -> list[str]:
    """Resolve the launcher's program, also in this Python's folder, which may not be on the worker's path."""
    beside = Path(sys.executable).parent / launcher[0]
    return [str(beside) if shutil.which(launcher[0]) is None and beside.exists() else launcher[0], *launcher[1:]]


def _follow(
    process: subprocess.Popen[bytes], folder: Path, report: Report, say: Say, should_stop: ShouldStop
) -> TrainResult:
    """Pass on points and messages until the processes have ended. Returns the result, or raises their error."""
    outcomes: list[dict[str, Any]] = []
    lines = _lines(folder / MESSAGES)
    ended = False
    while not ended:
        ended = process.poll() is not None  # polled before reading, so that no line is missed
        for line in iter(lambda: next(lines), None):
            if "point" in line:
                report(line["point"])
            elif "say" in line:
                say(line["say"])
            else:
                outcomes.append(line)
        if not (folder / STOP).exists() and should_stop():
            (folder / STOP).touch()
        if not ended:
            time.sleep(POLL_SECONDS)
    for name in ("error", "stopped", "result"):  # an error in one process stops the others
        for line in outcomes:
            if name == "error" and name in line:
                raise (OutOfMemory if line["memory"] else TrainingError)(line[name])
            if name == "stopped" and name in line:
                raise Stopped(line[name])
            if name == "result" and name in line:
                result = line[name]
                return TrainResult.of(result, Path(result["model_dir"]))
    last = (folder / OUTPUT).read_text(errors="replace").strip()[-1500:]
    raise TrainingError(f"The training's processes ended with code {process.returncode}. Their last output: {last}")


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the complete lines of a growing file, and ``None`` whenever there is no further line yet."""
    at = 0
    while True:
        if path.exists():
            with path.open("rb") as stream:
                stream.seek(at)
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    at += len(line)
                    yield json.loads(line)
        yield None


def _identity(process: psutil.Process) -> list[float]:
    return [process.pid, process.create_time()]


def _alive(identity: Sequence[float]) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(identity[0]))
        if process.create_time() == identity[1] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _terminate_processes(folder: Path, launcher: subprocess.Popen[bytes] | None = None) -> None:
    """Terminate the launcher and all remaining processes of this folder, and wait for their end."""
    left = [_alive(json.loads(path.read_text() or "[0, 0]")) for path in folder.glob("process-*.json")]
    if launcher is not None:
        launcher.kill()
        launcher.wait()
    remaining = [process for process in left if process is not None]
    for process in remaining:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(remaining, timeout=10)


class _MessageWriter:
    """Appends lines atomically to the caller's message file; safe to use in any process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, **line: Any) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")


def _silent(**_: Any) -> None:
    """Discard points and messages of all processes but the first."""


def _exit_with_caller(folder: Path, request: Mapping[str, Any]) -> None:
    """Exit this process if its caller has died or the folder belongs to a later launch."""

    def watch() -> None:
        while True:
            time.sleep(0.5)
            try:
                ours = json.loads((folder / REQUEST).read_text())["token"] == request["token"]
            except (OSError, ValueError):
                ours = False
            if not ours or _alive(request["caller"]) is None:
                os._exit(1)

    threading.Thread(target=watch, name="caller", daemon=True).start()


def main(folder: Path) -> int:
    """Entry point of each process: train and report to the caller. Only the first reports points and messages."""
    request = json.loads((folder / REQUEST).read_text())
    (folder / f"process-{os.getpid()}.json").write_text(json.dumps(_identity(psutil.Process())))
    _exit_with_caller(folder, request)
    tell = _MessageWriter(folder / MESSAGES)
    from training.trainers import processes  # not loaded in the caller

    first = processes.state().is_main_process
    report_from_first = tell if first else _silent
    module, function, config = _TRAINERS[request["kind"]]
    arguments = request["arguments"]
    if request["kind"] == "preference":
        arguments |= {
            "store": Path(request["store"]) if request["store"] else None,
            "say": lambda text: report_from_first(say=text),
        }
    try:
        result = getattr(importlib.import_module(module), function)(
            request["rows"],
            output_dir=Path(request["output_dir"]),
            config=config(**request["config"]),
            report=lambda point: report_from_first(point=point),
            should_stop=(folder / STOP).exists,
            **arguments,
        )
    except Stopped as stopped:
        tell(stopped=stopped.step)
        return 0
    except TrainingError as error:
        tell(error=str(error), memory=isinstance(error, OutOfMemory))
        return 1
    if first:
        tell(result=asdict(result) | {"model_dir": str(result.model_dir)})
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
