"""The same training in several processes, started by ``accelerate launch`` or ``torchrun`` and followed from one.

The caller writes what is to be trained into a folder, starts the launcher on this module, and follows a file to which
the processes write points, sentences and how it ended. Nobody is left behind: a process whose caller has died, or whose
folder was given to a later launch, ends itself within a second, and a caller first ends what an earlier one has left.
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
FOLDER, ASKED, TOLD, STOP, OUTPUT = "launch", "asked.json", "told.jsonl", "stop", "output.txt"
LOOK_SECONDS: Final = 0.2
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
    arguments, results and errors are the trainer's own; a launcher that fails otherwise is a :class:`TrainingError`
    with the end of what it wrote.
    """
    folder = output_dir / FOLDER
    _end_what_is_left(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked: dict[str, Any] = {"kind": kind, "rows": list(rows), "output_dir": str(output_dir)}
    asked |= {"config": config.model_dump(mode="json")}
    asked |= {"store": str(store) if store else None, "arguments": arguments}
    asked |= {"token": uuid.uuid4().hex, "caller": _identity(psutil.Process())}
    (folder / ASKED).write_text(json.dumps(asked))
    command = [*_found(launcher), "-m", __name__, str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        with (folder / OUTPUT).open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    except OSError as error:
        raise TrainingError(f"{command[0]!r} could not be started: {error}. Look at PLUMBLINE_TRAIN_LAUNCH.") from error
    try:
        result = _follow(process, folder, report, say, should_stop)
    finally:
        _end_what_is_left(folder, process)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _found(launcher: Sequence[str]) -> list[str]:
    """The command, its program looked for beside this Python too: a worker need not have that folder on its path."""
    beside = Path(sys.executable).parent / launcher[0]
    return [str(beside) if shutil.which(launcher[0]) is None and beside.exists() else launcher[0], *launcher[1:]]


def _follow(
    process: subprocess.Popen[bytes], folder: Path, report: Report, say: Say, should_stop: ShouldStop
) -> TrainResult:
    """Pass on what is told until the processes have ended; the result, or what it ended with instead."""
    told: list[dict[str, Any]] = []
    lines = _lines(folder / TOLD)
    ended = False
    while not ended:
        ended = process.poll() is not None  # asked before the file is read: nothing is told after the end
        for line in iter(lambda: next(lines), None):
            if "point" in line:
                report(line["point"])
            elif "say" in line:
                say(line["say"])
            else:
                told.append(line)
        if not (folder / STOP).exists() and should_stop():
            (folder / STOP).touch()
        if not ended:
            time.sleep(LOOK_SECONDS)
    for name in ("error", "stopped", "result"):  # an error of any process is why the others stopped
        for line in told:
            if name == "error" and name in line:
                raise (OutOfMemory if line["memory"] else TrainingError)(line[name])
            if name == "stopped" and name in line:
                raise Stopped(line[name])
            if name == "result" and name in line:
                found = line[name]
                return TrainResult.of(found, Path(found["model_dir"]))
    last = (folder / OUTPUT).read_text(errors="replace").strip()[-1500:]
    raise TrainingError(f"The training's processes ended with code {process.returncode}. They wrote last: {last}")


def _lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Each line of a file that grows, whole; ``None`` where there is no more for now."""
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


def _end_what_is_left(folder: Path, launcher: subprocess.Popen[bytes] | None = None) -> None:
    """End the launcher and every process of this folder that is still there, and wait until they are gone."""
    left = [_alive(json.loads(path.read_text() or "[0, 0]")) for path in folder.glob("process-*.json")]
    if launcher is not None:
        launcher.kill()
        launcher.wait()
    there = [process for process in left if process is not None]
    for process in there:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(there, timeout=10)


class _Telling:
    """Writes lines to the caller, each in one piece; any process may."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, **line: Any) -> None:
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")


def _silent(**_: Any) -> None:
    """What the other processes tell of points and sentences."""


def _end_with_the_caller(folder: Path, asked: Mapping[str, Any]) -> None:
    """End this process where its caller has died or the folder was given to a later launch."""

    def watch() -> None:
        while True:
            time.sleep(0.5)
            try:
                ours = json.loads((folder / ASKED).read_text())["token"] == asked["token"]
            except (OSError, ValueError):
                ours = False
            if not ours or _alive(asked["caller"]) is None:
                os._exit(1)

    threading.Thread(target=watch, name="caller", daemon=True).start()


def main(folder: Path) -> int:
    """One of the processes: train, and tell the caller. Points and sentences come from the first process alone."""
    asked = json.loads((folder / ASKED).read_text())
    (folder / f"process-{os.getpid()}.json").write_text(json.dumps(_identity(psutil.Process())))
    _end_with_the_caller(folder, asked)
    tell = _Telling(folder / TOLD)
    from training.trainers import processes  # only here: the caller need not load what trains

    first = processes.state().is_main_process
    aloud = tell if first else _silent
    module, function, config = _TRAINERS[asked["kind"]]
    arguments = asked["arguments"]
    if asked["kind"] == "preference":
        arguments |= {
            "store": Path(asked["store"]) if asked["store"] else None,
            "say": lambda text: aloud(say=text),
        }
    try:
        result = getattr(importlib.import_module(module), function)(
            asked["rows"],
            output_dir=Path(asked["output_dir"]),
            config=config(**asked["config"]),
            report=lambda point: aloud(point=point),
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
