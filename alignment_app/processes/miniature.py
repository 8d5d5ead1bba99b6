"""Build the miniature in a separate process, so that the calling process never loads torch."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from alignment_app.processes.children import die_with_parent

LOOK_SECONDS: Final = 0.2
#: Called with a step's name, its progress, and its total (0: unknown).
Show = Callable[[str, int, int], None]


class NotBuilt(Exception):
    """The miniature could not be built. The message has the cause and the remedy."""


class Stopped(Exception):
    """The build, or a download, was interrupted by a stop request. Partial files are deleted."""


def build(home: Path, seed: int, show: Show, should_stop: Callable[[], bool] = lambda: False) -> Path:
    """Return the folder of the miniature of a seed, and build it if it does not exist.

    ``should_stop`` is called several times per second. Raises :class:`NotBuilt` or :class:`Stopped`.
    """
    log = home / "logs" / "miniature.log"
    log.parent.mkdir(exist_ok=True)
    parent = os.getpid()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.miniature", str(home), "--seed", str(seed)],
            cwd=settings.BASE_DIR,
            # Actively waiting threads slow down all processes of a small machine.
            env={"OMP_WAIT_POLICY": "passive", **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        try:
            directory = _follow(process, show, should_stop)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    if process.returncode or directory is None:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-6:])
        raise NotBuilt(
            f"The miniature could not be built. Its log ({log}) ends:\n{end}\n"
            "Correct the problem, or run 'python manage.py doctor', then start again."
        )
    return directory


def _follow(process: subprocess.Popen[bytes], show: Show, should_stop: Callable[[], bool]) -> Path | None:
    """Pass on the process's progress until it ends; return the folder that it reported."""
    directory: Path | None = None
    assert process.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if should_stop():
                raise Stopped
            if not selector.select(LOOK_SECONDS):
                continue
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for said in map(_read, lines):
                if "directory" in said:
                    directory = Path(said["directory"])
                elif "step" in said:
                    show(said["step"], said["done"], said["total"])
    process.wait()  # the pipe is closed, so the process is ending
    return directory


def _read(line: bytes) -> dict[str, Any]:
    """Parse a line of the process as JSON; ignore other output."""
    try:
        facts = json.loads(line)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
