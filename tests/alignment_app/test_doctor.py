"""The doctor reports problems with remedies, and never fails itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alignment_app.processes import doctor
from alignment_app.services.people import make_admin
from training.hardware import Gpu, Hardware

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


def found() -> dict[str, doctor.Finding]:
    return {finding.what: finding for finding in doctor.findings()}


def test_a_whole_installation_has_nothing_to_mend(valkey: Any) -> None:
    make_admin("root")
    result = found()
    assert [finding for finding in result.values() if finding.level == "fail"] == []
    assert result["packages"].level == "ok"
    assert result["database"].found.endswith("all migrations applied")
    assert result["queue"].level == "ok"


def test_every_warning_and_every_failure_carries_a_remedy() -> None:
    for finding in doctor.findings():
        assert finding.level == "ok" or finding.remedy, finding


def test_without_workers_it_says_how_to_start_one(valkey: Any) -> None:
    assert found()["workers"].level == "warn"
    assert "manage.py worker" in found()["workers"].remedy


def test_a_missing_admin_is_said() -> None:
    assert found()["admin"].remedy.startswith("Run 'python manage.py make_admin'")


def test_a_cpu_build_beside_a_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Hardware(8, 10**10, None, (Gpu("NVIDIA H100", 80 * 10**9),))
    monkeypatch.setattr(doctor.Hardware, "detect", classmethod(lambda cls: machine))
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0+cpu")
    (finding,) = doctor._accelerator()
    assert finding.level == "warn"
    assert "PLUMBLINE_TORCH=cuda" in finding.remedy


def test_a_package_at_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_pins", lambda: {"Django": "1.0", "no-such-package": "2.0"})
    missing, different = doctor._packages()
    assert (missing.level, missing.found) == ("fail", "missing: no-such-package")
    assert different.level == "warn"
    assert "tested: 1.0" in different.found


def test_a_check_that_breaks_does_not_keep_the_others_from_being_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken() -> Any:
        raise RuntimeError("out of order")

    monkeypatch.setattr(doctor, "CHECKS", (_broken, doctor._python))
    first, second = doctor.findings()
    assert (first.level, first.found) == ("fail", "RuntimeError: out of order")
    assert second.level == "ok"


def test_servers_that_do_not_answer_are_failures_with_an_exit_code_and_no_traceback(tmp_path: Path) -> None:
    environment = os.environ | {
        "PLUMBLINE_HOME": str(tmp_path),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, str(ROOT / "manage.py"), "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Check DATABASE_URL" in done.stdout
    assert "Check REDIS_URL" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
