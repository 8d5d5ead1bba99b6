"""Lock of the data folder, and cleanup of leftover children after a killed supervisor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignment_app.processes.lock import AlreadyRunning, HomeLock, holder
from alignment_app.processes.supervisor import end_leftovers

SLEEP = "import time; print(flush=True); time.sleep(60)"


def test_the_second_holder_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    first.take()
    first.describe(url="http://127.0.0.1:8000/")
    with pytest.raises(AlreadyRunning, match=rf"at http://127.0.0.1:8000/ \(process {os.getpid()}\)"):
        second.take()
    first.release()
    second.take()
    assert holder(tmp_path) == {}
    second.release()


def test_a_lock_file_with_rubbish_in_it_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "up.lock").write_text("[[")
    assert holder(tmp_path) == {}
    end_leftovers(tmp_path)
    lock = HomeLock(tmp_path)
    lock.take()
    lock.release()


def test_only_processes_of_this_folder_are_ended_as_leftovers(tmp_path: Path) -> None:
    def sleeper(mark: str, home: Path) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PLUMBLINE_HOME": str(home)}
        process = subprocess.Popen([sys.executable, "-c", SLEEP, mark], env=environment, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()  # the program has been loaded
        return process

    ours = sleeper("alignment_app.processes.web", tmp_path)
    elsewhere = sleeper("alignment_app.processes.web", tmp_path / "other")
    stranger = sleeper("somebody else's", tmp_path)
    started = [ours, elsewhere, stranger]
    try:
        (tmp_path / "up.lock").write_text(json.dumps({"pid": 1, "children": [process.pid for process in started]}))
        end_leftovers(tmp_path)
        assert ours.wait(5) != 0
        assert elsewhere.poll() is None
        assert stranger.poll() is None
    finally:
        for process in started:
            process.kill()
            process.communicate()
