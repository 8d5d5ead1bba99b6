"""200 pages follow one run over interrupted connections: does each event arrive once, in order, and how soon?

    python -m tests.benchmarks.sockets [--sockets 200] [--rate 20] [--seconds 60] [--cut-every 15]

Uses a real web process, Valkey and SQLite file; the writer and the pages are separate processes. Each page drops its
connection abruptly at random (every ``--cut-every`` seconds on average), reconnects within a second and requests the
events after its cursor. Latency is measured from the writer's commit to the page's receipt; events committed while a
page was disconnected are counted separately.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
COOKIE = "sessionid"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="all", choices=["all", "writer", "pages"], help=argparse.SUPPRESS)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cut-every", type=float, default=15.0, help="mean duration of a connection (s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--run", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "writer":
        return write(options)
    if options.part == "pages":
        return asyncio.run(follow_all(options))
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        os.environ["PLUMBLINE_HOME"] = folder
        return orchestrate(options)


def setup() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alignment_app.settings")
    import django

    django.setup()


def orchestrate(options: argparse.Namespace) -> int:
    setup()
    from django.conf import settings

    from alignment_app.processes.children import Child
    from alignment_app.processes.supervisor import listen, prepare_database
    from alignment_app.processes.valkey import EmbeddedValkey

    prepare_database()
    run_id, session = make_run(), make_session()
    valkey = EmbeddedValkey(settings.HOME)
    valkey.start()
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    web_command = [sys.executable, "-m", "alignment_app.processes.web", str(listener.fileno())]
    web = Child("web", web_command, log=settings.HOME / "web.log", pass_fds=[listener.fileno()])
    web.start()
    try:
        figures = measure(options, run_id, session, port)
        print(web.tail(5), file=sys.stderr)
    finally:
        web.stop()
        valkey.stop()
        listener.close()
    print(json.dumps(figures) if options.json else report(figures))
    return 0 if figures["pages_whole"] == figures["pages"] else 1


def make_run() -> int:
    from alignment_app.models import Run

    return Run.objects.create(name="benchmark", config={}, config_hash="0" * 64, paradigm="self_reward").pk


def make_session() -> str:
    """Return the session key of a logged-in admin."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.backends.db import SessionStore

    user = get_user_model().objects.create_superuser("reader")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def measure(options: argparse.Namespace, run_id: int, session: str, port: int) -> dict[str, Any]:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in vars(options).items() if name in SHARED]
    arguments += [f"--run={run_id}", f"--port={port}"]
    command = [sys.executable, "-m", "tests.benchmarks.sockets"]
    environment = os.environ | {"SESSION": session}
    pages = subprocess.Popen(
        [*command, "pages", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )
    assert pages.stdout
    assert pages.stdin
    if not pages.stdout.readline():
        raise SystemExit("not every page could connect within a minute")
    writer = subprocess.run([*command, "writer", *arguments], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    commits = json.loads(writer.stdout)
    pages.stdin.write(f"{max(map(int, commits))}\n".encode())
    pages.stdin.close()
    received = json.loads(pages.stdout.read())
    pages.wait()
    return summarise({int(seq): at for seq, at in commits.items()}, received, options)


SHARED = ("sockets", "rate", "seconds", "cut_every")


def write(options: argparse.Namespace) -> int:
    """Append events at the given rate; print the commit time of each by this machine's clock."""
    setup()
    from alignment_app.services import events, publish

    commits: dict[int, float] = {}
    began = time.monotonic()
    for number in range(int(options.rate * options.seconds)):
        time.sleep(max(0.0, began + number / options.rate - time.monotonic()))
        seq = events.append(options.run, sample_payload(number))
        commits[seq] = time.time()
    publish.flush(5)
    print(json.dumps(commits))
    return 0


def sample_payload(number: int) -> Any:
    """Return a payload as large as a real stage event."""
    from alignment_app.models.payloads import StagePayload

    return StagePayload(
        stage=3, iteration=1, kind="responses", label="Responses", status="running", reason="", done=number, total=4000,
        unit="responses", rate=38.2, seconds_left=93.1, progress={"tokens_per_second": 1934.2}, result={},
    )  # fmt: skip


class Page:
    """One page: its cursor, what it received and when, and the times during which it was connected."""

    def __init__(self) -> None:
        self.cursor = 0
        self.received: list[tuple[int, float]] = []
        self.repeats = 0
        self.gaps = 0
        self.connected: list[list[float]] = []

    def take(self, seqs: list[int], now: float) -> None:
        for seq in seqs:
            if seq <= self.cursor:
                self.repeats += 1
            else:
                self.gaps += seq != self.cursor + 1
                self.cursor = seq
                self.received.append((seq, now))


async def follow_all(options: argparse.Namespace) -> int:
    from websockets.asyncio.client import connect

    frames: dict[str, list[int]] = {}  # pages in step get the same text: parse it once
    pages = [Page() for _ in range(options.sockets)]
    uri = f"ws://127.0.0.1:{options.port}/ws/runs/{options.run}/"
    headers = {"Cookie": f"{COOKIE}={os.environ['SESSION']}", "Origin": f"http://127.0.0.1:{options.port}"}
    chance = random.Random(7)

    async def follow(page: Page) -> None:
        while True:
            try:
                async with connect(uri, additional_headers=headers, compression=None, open_timeout=20) as socket:
                    await listen(page, socket)
            except (OSError, TimeoutError, EOFError):
                pass
            await asyncio.sleep(chance.random())

    async def listen(page: Page, socket: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        await socket.send(json.dumps({"cursor": page.cursor}))
        life = asyncio.get_running_loop().time() + chance.expovariate(1 / options.cut_every)
        span: list[float] | None = None
        try:
            async with asyncio.timeout_at(life):
                while True:
                    text = await socket.recv()
                    now = time.time()
                    if span is None:
                        page.connected.append(span := [now, float("inf")])
                    if text not in frames:
                        frames.clear() if len(frames) > 500 else None
                        frames[text] = [event["seq"] for event in json.loads(text)["events"]]
                    page.take(frames[text], now)
        except (TimeoutError, ConnectionClosed):
            pass
        finally:
            if span:
                span[1] = time.time()
            socket.transport.abort()

    tasks = [asyncio.create_task(follow(page)) for page in pages]
    async with asyncio.timeout(60):
        while not all(page.connected for page in pages):
            await asyncio.sleep(0.1)
    print("connected", flush=True)
    last = int(await asyncio.to_thread(sys.stdin.readline))
    deadline = time.monotonic() + 20
    while any(page.cursor < last for page in pages) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps([vars(page) for page in pages]))
    return 0


def summarise(commits: dict[int, float], pages: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    live, late = [], []
    for page in pages:
        for seq, at in page["received"]:
            there = any(since <= commits[seq] <= until for since, until in page["connected"])
            # Received over the connection that was open at the commit; otherwise the page was disconnected in between.
            same = there and any(since <= commits[seq] and at <= until for since, until in page["connected"])
            (live if same else late).append((at - commits[seq]) * 1000)
    expected = list(range(1, len(commits) + 1))
    whole = [page for page in pages if [seq for seq, _ in page["received"]] == expected]
    return {
        "pages": len(pages),
        "pages_whole": len(whole),
        "events": len(commits),
        "deliveries": sum(len(page["received"]) for page in pages),
        "repeats": sum(page["repeats"] for page in pages),
        "gaps": sum(page["gaps"] for page in pages),
        "cuts": sum(len(page["connected"]) - 1 for page in pages),
        "rate": options.rate,
        "live_ms": quantiles(live),
        "away_ms": quantiles(late),
    }


def quantiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cut = statistics.quantiles(values, n=100)
    return {
        "n": len(values),
        "p50": round(cut[49]),
        "p95": round(cut[94]),
        "p99": round(cut[98]),
        "max": round(max(values)),
    }


def report(figures: dict[str, Any]) -> str:
    live, away = figures["live_ms"], figures["away_ms"]
    text = (
        f"{figures['pages_whole']} of {figures['pages']} pages received all {figures['events']} events "
        f"once and in order ({figures['deliveries']} deliveries, {figures['gaps']} gaps, "
        f"{figures['repeats']} repeats sent, {figures['cuts']} connections cut)\n"
        f"commit to page, connected at the commit: p50 {live['p50']} ms, p95 {live['p95']} ms, "
        f"p99 {live['p99']} ms, max {live['max']} ms (n {live['n']})"
    )
    if away:
        text += f"\ncommit to page, away at the commit: p50 {away['p50']} ms, p95 {away['p95']} ms (n {away['n']})"
    return text


if __name__ == "__main__":
    sys.exit(main())
