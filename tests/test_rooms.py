"""Which room may import which, and a web process that never loads what trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_room_imports_only_what_it_may() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_web_process_boots_and_serves_every_page_with_torch_blocked(tmp_path: Path) -> None:
    environment = os.environ | {"PLUMBLINE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "LOG_LEVEL": "ERROR"}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.walk_pages"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["loaded"] == []
    broken = {path: status for path, status in found["pages"].items() if status >= 500}
    assert broken == {}, done.stderr
    served = {path for path, status in found["pages"].items() if status == 200}
    assert {"/runs/", "/runs/new/", "/runs/1/", "/runs/1/samples/", "/api/v1/runs/", "/api/v1/runs/1/"} <= served
    assert {"/checkpoints/", "/checkpoints/1/", "/chat/", "/compare/", "/system/", "/admin/"} <= served
