"""A complete Plumbline under test: ``manage.py up`` on a data folder, and requests to its web process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.sockets import COOKIE, ROOT


class System:
    """``manage.py up`` on a data folder, with access to its pages as an admin."""

    def __init__(self, home: Path, session: str, *, workers: int) -> None:
        self.home = home
        self.session = session
        self.workers = workers
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, and return when the web process answers."""
        with (self.home / "up.log").open("ab") as log:
            command = [sys.executable, "manage.py", "up", f"--port={self.port}", f"--workers={self.workers}"]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"up did not start:\n{(self.home / 'up.log').read_text()}")
            if self._find_port() and self.get("/runs/1/events/") is not None:
                return
            time.sleep(0.2)
        raise SystemExit("up did not answer within two minutes")

    def _find_port(self) -> bool:
        from alignment_app.processes.lock import holder

        facts = holder(self.home)
        if self.process is None or facts.get("pid") != self.process.pid or "url" not in facts:
            return False
        self.port = int(facts["url"].rsplit(":", 1)[1].strip("/"))
        return True

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.terminate()
            self.process.wait(60)
            left = [process for process in family if process.is_running()]
            if left:
                print(f"left running after a stop: {left}", file=sys.stderr)

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the answer of the web process within three seconds (empty for 404), or ``None``."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Cookie": f"{COOKIE}={self.session}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=3) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return {} if error.code == 404 else None
        except (OSError, ValueError):
            return None

    def pid_of(self, target: str, run_id: int) -> int | None:
        """Return the process to kill, or ``None`` if there is none at the moment."""
        assert self.process
        if target == "up":
            return self.process.pid
        if target in ("job", "stale"):
            from alignment_app.models import StageAttempt

            at_work = StageAttempt.objects.filter(outcome="open", stage__iteration__run=run_id)
            return at_work.values_list("pid", flat=True).first()
        marks = {"worker": "light,generation", "web": "alignment_app.processes.web", "valkey": "valkey-server"}
        for child in psutil.Process(self.process.pid).children():
            try:
                if marks[target] in " ".join(child.cmdline()):
                    return child.pid
            except psutil.Error:
                continue
        return None


def is_alive(pid: int) -> bool:
    from alignment_app.services import reaping

    return reaping.is_alive(pid)
