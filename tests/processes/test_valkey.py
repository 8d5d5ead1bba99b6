"""Embedded Valkey: start, adoption, stop, and errors with a remedy."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignment_app.processes.valkey import EmbeddedValkey, ValkeyProblem


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="plumbline-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_it_starts_on_a_socket_that_only_its_owner_may_use_and_stops(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    server.start()
    assert server.answers()
    assert server.socket.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not server.answers()
    assert not server.socket.exists()


def test_a_live_one_is_found_and_used_and_can_be_stopped_by_the_finder(folder: Path) -> None:
    first, second = EmbeddedValkey(folder), EmbeddedValkey(folder)
    first.start()
    second.start()
    first._client().set("mark", "1")
    assert second._client().get("mark") == b"1"
    second.stop()
    assert not first.answers()
    first.stop()


def test_a_socket_left_by_a_killed_server_is_no_obstacle(folder: Path) -> None:
    first = EmbeddedValkey(folder)
    first.start()
    assert first._server is not None
    assert first._server.process is not None
    first._server.process.kill()
    first._server.process.wait()
    assert first.socket.exists()
    second = EmbeddedValkey(folder)
    second.start()
    assert second.answers()
    second.stop()


def test_a_path_too_long_for_a_socket_is_refused_with_the_remedy(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    with pytest.raises(ValkeyProblem, match="Set PLUMBLINE_HOME to a folder with a shorter path"):
        EmbeddedValkey(deep).start()
