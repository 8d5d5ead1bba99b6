"""Lock that allows one supervisor per data folder."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any


class AlreadyRunning(Exception):
    """Another supervisor locks this data folder; ``holder`` is its ``{"pid", "url", …}`` as far as known."""

    def __init__(self, home: Path, holder: dict[str, Any]) -> None:
        where = f" at {holder['url']}" if holder.get("url") else ""
        process = f" (process {holder['pid']})" if holder.get("pid") else ""
        super().__init__(
            f"Plumbline is already running on {home}{where}{process}. "
            "Stop it first (Ctrl-C in its terminal), or set PLUMBLINE_HOME to another folder."
        )
        self.holder = holder


class HomeLock:
    """A lock file that the kernel releases when the process ends."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "up.lock"
        self._descriptor: int | None = None

    def take(self) -> None:
        """Acquire the lock. Raises :class:`AlreadyRunning`."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise AlreadyRunning(self.home, holder(self.home)) from None
        self._descriptor = descriptor

    def describe(self, **facts: Any) -> None:
        """Write the holder's data, to be shown to a second supervisor."""
        if self._descriptor is None:
            return
        text = json.dumps({"pid": os.getpid(), **facts}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder(home: Path) -> dict[str, Any]:
    """Return the last holder's data: ``{"pid", "url", "children": [pid, …]}``, or an empty dict."""
    try:
        facts = json.loads((home / "up.lock").read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
