"""The desk compared with another annotation tool on the same machine, both over HTTP, alternating.

    python -m venv /some/folder && /some/folder/bin/pip install potato-annotation==2.12.1
    make bench-labeling-beside POTATO=/some/folder/bin/python [OPTIONS="--tasks 100000 --requests 200"]

Both get the same pairs of ~180-word responses. *Next* is the request for the next item (JSON here, a page there),
*submit* the request that stores the answer. They alternate every 20 items, so that both see the same load of the
machine. Then ``--people`` people start at a barrier with ``--rounds`` items each, first here, then there. Counted are
items with two answers although one was required, and statuses of 500 and above.
"""

from __future__ import annotations

import argparse
import http.client
import http.cookies
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent.parent
TURN = 20
IDLE_SECONDS = 2.0
CONFIG = """\
port: {port}
annotation_task_name: bench
task_dir: .
output_annotation_dir: out
output_annotation_format: jsonl
data_files: [data.jsonl]
item_properties: {{id_key: id, text_key: text}}
require_password: false
user_config: {{allow_all_users: true, users: []}}
num_annotators_per_item: 1
max_annotations_per_user: {each}
assignment_strategy: fixed_order
list_as_text: {{text_list_prefix_type: alphabet}}
annotation_schemes:
  - {{annotation_type: radio, name: preferred, description: "Which one is better", labels: [A, B, tie]}}
"""


class Connection:
    """A browser: a persistent connection and its cookies."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self.cookies: dict[str, str] = {}
        self.used_at = 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, float]:
        """Send one request. Returns status, text and seconds; redirects are not followed."""
        if isinstance(body, dict):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **headers}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        began = time.perf_counter()
        if began - self.used_at > IDLE_SECONDS:  # the server may have closed it, so reconnect
            self.connection.close()
        self.connection.request(method, path, body, headers)
        reply = self.connection.getresponse()
        text = reply.read().decode()
        self.used_at = time.perf_counter()
        seconds = self.used_at - began
        for line in reply.headers.get_all("Set-Cookie") or []:
            self.cookies |= {name: morsel.value for name, morsel in http.cookies.SimpleCookie(line).items()}
        return reply.status, text, seconds


@dataclass
class Seat:
    """A person using a tool. ``next`` and ``submit`` return (status, item or None, seconds)."""

    next: Callable[[], tuple[int, str | None, float]]
    submit: Callable[[str], tuple[int, str | None, float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potato", required=True, help="a Python with potato-annotation")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        print(json.dumps(fill(options.fill, options.tasks, options.people)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="plumbline-") as folder,
        ours(Path(folder), options) as sit_here,
        potato(Path(folder), options) as sit_there,
    ):
        compare(options, sit_here, sit_there)
    return 0


def fill(data: Path, tasks: int, people: int) -> dict[str, Any]:
    """Make our queue, the same pairs as JSON lines for the other tool, and a session per person."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alignment_app.settings")
    import django

    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command

    from labeling.models import Task
    from labeling.services.queues import NewQueue, make_queue
    from tests.benchmarks.labeling import _record

    call_command("migrate", verbosity=0)
    iteration, users = _record(tasks, people)
    queue = make_queue(NewQueue("bench", "pair", min_seconds=0.0, blind=False), by=users[0], iteration=iteration)
    with data.open("w", encoding="utf-8") as file:
        for pk, first, second in (
            Task.objects.order_by("rank").values_list("pk", "first__text", "second__text").iterator()
        ):
            file.write(json.dumps({"id": f"p{pk}", "text": [first, second]}) + "\n")
    sessions = []
    for user in users:
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "alignment_app.backends.ThrottledBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        sessions.append(session.session_key)
    return {"queue": queue.pk, "sessions": sessions}


@contextmanager
def ours(folder: Path, options: argparse.Namespace) -> Iterator[Callable[[int], Seat]]:
    """Run the product's web process on SQLite. Yields a function that creates a seat."""
    environment = os.environ | {"PLUMBLINE_HOME": str(folder / "home"), "LOG_LEVEL": "ERROR"}
    words = ["--potato", "-", "--tasks", str(options.tasks), "--people", str(options.people + 1)]
    command = [sys.executable, "-m", "tests.benchmarks.labeling_beside", *words, "--fill", str(folder / "data.jsonl")]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    made = json.loads(done.stdout.splitlines()[-1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "alignment_app.processes.web", str(listener.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()])

    def sit(number: int) -> Seat:
        browser, token = Connection(port), "c" * 32
        browser.cookies = {"sessionid": made["sessions"][number], "csrftoken": token}
        headers = {"X-CSRFToken": token}

        def following() -> tuple[int, str | None, float]:
            status, text, seconds = browser.ask("POST", f"/api/v1/queues/{made['queue']}/next", {}, **headers)
            return status, str(json.loads(text)["id"]) if status == 200 else None, seconds

        def submit(item: str) -> tuple[int, str | None, float]:
            answer = {"decision": "flip" if int(item) % 2 else "confirm"}
            status, _, seconds = browser.ask("POST", f"/api/v1/tasks/{item}/submit", answer, **headers)
            return status, item, seconds

        return Seat(following, submit)

    try:
        wait_for(port, process)
        yield sit
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def potato(folder: Path, options: argparse.Namespace) -> Iterator[Callable[[int], Seat]]:
    """Run Potato with its own command on the same pairs."""
    home = folder / "potato"
    home.mkdir()
    (folder / "data.jsonl").rename(home / "data.jsonl")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / "config.yaml").write_text(CONFIG.format(port=port, each=options.requests + 2 * TURN), encoding="utf-8")
    command = [options.potato, "-m", "potato", "start", "config.yaml", "-p", str(port)]
    log = (folder / "potato.log").open("w")
    process = subprocess.Popen(command, cwd=home, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def sit(number: int) -> Seat:
        browser, begun = Connection(port), False
        form = urlencode({"email": f"person{number}", "pass": "x", "action": "signup"})
        browser.ask("POST", "/register", form, **{"Content-Type": "application/x-www-form-urlencoded"})

        def following() -> tuple[int, str | None, float]:
            nonlocal begun
            action = ("POST", "/annotate", {"action": "next_instance"}) if begun else ("GET", "/annotate")
            begun = True
            status, text, seconds = browser.ask(*action)
            if status in (302, 303):
                status, text, more = browser.ask("GET", "/annotate")
                seconds += more
            found = re.search(r'name="instance_id"[^>]*value="([^"]+)"', text)
            return status, found.group(1) if found else None, seconds

        def submit(item: str) -> tuple[int, str | None, float]:
            answer = {"instance_id": item, "annotations": {"preferred:A": "A"}, "span_annotations": []}
            status, _, seconds = browser.ask("POST", "/updateinstance", answer)
            return status, item, seconds

        return Seat(following, submit)

    try:
        wait_for(port, process)
        yield sit
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the port accepts connections."""
    for _ in range(1200):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the server does not listen after ten minutes")


def compare(options: argparse.Namespace, *tools: Callable[[int], Seat]) -> None:
    names = ("Plumbline", "Potato")
    times: list[dict[str, list[float]]] = [{"next": [], "submit": []} for _ in tools]
    seats = [sit(0) for sit in tools]
    for turn in range(-1, options.requests // TURN):  # the first turn is a warm-up
        order = range(len(seats)) if turn % 2 else reversed(range(len(seats)))
        for place in order:
            for _ in range(TURN):
                status, item, seconds = seats[place].next()
                assert status == 200, (names[place], status)
                assert item, f"{names[place]} gave no item"
                stored, _, taken = seats[place].submit(item)
                assert stored in (200, 201), (names[place], stored)
                if turn >= 0:
                    times[place]["next"].append(1000 * seconds)
                    times[place]["submit"].append(1000 * taken)
    print(f"{options.tasks:,} tasks; milliseconds by HTTP, p50 / p95, {options.requests} items each in turns of {TURN}")
    for what in ("next", "submit"):
        here, there = (sorted(found[what]) for found in times)
        ratio = statistics.median(there) / statistics.median(here)
        print(f"  {what}: {_two(here)} here, {_two(there)} there: {ratio:.1f} times", flush=True)
    for name, sit in zip(names, tools, strict=True):
        print(
            f"  {name}, {options.people} people at once, {options.rounds} rounds: {together(sit, options)}", flush=True
        )


def _two(ordered: list[float]) -> str:
    return f"{statistics.median(ordered):.1f} / {ordered[int(0.95 * (len(ordered) - 1))]:.1f}"


def together(sit: Callable[[int], Seat], options: argparse.Namespace) -> str:
    """Let all people work at once. Sessions are opened before timing starts."""
    seats = [sit(number) for number in range(1, options.people + 1)]
    barrier = threading.Barrier(len(seats))
    answered: list[str] = []
    statuses: list[int] = []

    def work(seat: Seat) -> None:
        for _ in range(options.rounds):
            barrier.wait(timeout=600)
            status, item, _ = seat.next()
            statuses.append(status)
            if status != 200 or item is None:
                continue
            stored, _, _ = seat.submit(item)
            statuses.append(stored)
            if stored in (200, 201):
                answered.append(item)

    threads = [threading.Thread(target=work, args=(seat,)) for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    twice = sum(count - 1 for count in Counter(answered).values())
    errors = sum(status >= 500 for status in statuses)
    asked = len(seats) * options.rounds
    return f"{len(answered)} of {asked} answered, {twice} items twice, {errors} answers of 500 and above"


if __name__ == "__main__":
    sys.exit(main())
