"""Settings that cannot be used: the start ends with the variable and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignment_app import env
from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db


ENVIRONMENT: dict[str, tuple[str, str, str]] = {
    "a switch that is neither": ("DEBUG", "perhaps", "not a boolean"),
    "a short key": ("SECRET_KEY", "short", "shorter than 32"),
    "a folder nobody can make": ("PLUMBLINE_HOME", "/proc/nowhere", "PLUMBLINE_HOME"),
    "an unknown database": ("DATABASE_URL", "oracle://x", "not supported"),
    "no address of a database": ("DATABASE_URL", "plumbline", "not supported"),
    "an unknown queue": ("REDIS_URL", "http://x", "must begin with"),
    "a lease of words": ("LEASE_SECONDS", "long", "whole number"),
    "a lease of nothing": ("LEASE_SECONDS", "0", "out of range"),
    "a grace without end": ("CANCEL_GRACE_SECONDS", "999999999", "out of range"),
}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_bad_setting_ends_the_start_with_its_name_and_the_remedy(name: str, tmp_path: Path) -> None:
    variable, value, words = ENVIRONMENT[name]
    given = os.environ | {"PLUMBLINE_HOME": str(tmp_path), variable: value}
    done = subprocess.run(
        [sys.executable, "-c", "import alignment_app.settings"],
        env=given, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert variable in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("")
    monkeypatch.setenv("PLUMBLINE_HOME", str(path))
    with pytest.raises(SystemExit, match="PLUMBLINE_HOME"):
        env.home()
