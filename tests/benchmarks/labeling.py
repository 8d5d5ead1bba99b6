"""Response times of the desk by queue size, and whether simultaneous annotators ever get the same item.

    python -m tests.benchmarks.labeling [--tasks 10000 100000] [--postgres] [--requests 300] [--people 32] [--rounds 20]

The queue has one item per pair of ~180-word responses of a run that waits for people. Requests pass through the whole
application (routing, session, permissions, API, services) in this process, sequentially. Then ``--people`` threads,
each with its own session, start at a barrier ``--rounds`` times, request an item and answer it. The scratch database is
a file (SQLite) or a separate server (``--postgres``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
WORDS = "water light root leaf soil plant week room shade window every little often never keep dry".split()
BATCH = 2000
BLOCK = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--postgres", action="store_true", help="use a separate PostgreSQL server")
    parser.add_argument("--requests", type=int, default=300, help="items that one person answers in a row")
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options)))
        return 0
    found = [_apart(size, options) for size in options.tasks]
    _print(found, "PostgreSQL" if options.postgres else "SQLite")
    return 0 if all(row["twice"] == row["lost"] == row["errors"] == 0 for row in found) else 1


def _apart(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one size in a separate process, with separate memory and caches."""
    words = ["--one", str(size), "--requests", str(options.requests), "--people", str(options.people)]
    command = [sys.executable, "-m", "tests.benchmarks.labeling", *words, "--rounds", str(options.rounds)]
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        environment = os.environ | {"PLUMBLINE_HOME": folder, "LOG_LEVEL": "ERROR"}
        if options.postgres:
            from tests.support.postgres import temporary_postgres

            with temporary_postgres() as url:
                return _run(command, environment | {"DATABASE_URL": url})
        return _run(command, environment)


def _run(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(size: int, options: argparse.Namespace) -> dict[str, Any]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alignment_app.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    started = time.monotonic()
    iteration, people = _record(size, options.people)
    filled = time.monotonic()
    from labeling.services.queues import NewQueue, make_queue

    queue = make_queue(NewQueue("bench", "pair", min_seconds=0.0), by=people[0], iteration=iteration)
    made = time.monotonic()
    figures = {"tasks": size, "fill_s": filled - started, "make_queue_s": made - filled}
    figures |= _in_a_row(queue.pk, people[0], options.requests)
    figures |= _lists(queue.pk, people[0], size)
    figures |= _together(queue, people, options.rounds)
    figures["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def _record(size: int, people: int) -> tuple[Any, list[Any]]:
    """Make a waiting run with ``size`` prompts, each with two candidates, their scores and a pair.

    The first :data:`BLOCK` prompts are made one by one; the database copies them for the others.
    """
    from django.contrib.auth.models import Group, User

    from alignment_app.models import Dataset, Iteration, Judgement, PreferencePair, Prompt, Response, Run, Stage
    from alignment_app.services.judge_rows import imported_judge
    from training.config import RunConfig

    draw = random.Random(1)
    dataset = Dataset.objects.create(name="bench", kind=Dataset.Kind.PROMPTS)
    config = RunConfig.parse(
        {
            "name": "bench", "paradigm": "self_reward", "iterations": 1, "student": {"model": "none/none"},
            "sft": {"enabled": False}, "prompts": {"dataset": "bench", "count": size},
            "review": {"enabled": True}, "evaluation": {"enabled": False},
        }
    )  # fmt: skip
    run = Run.objects.create(
        name="bench", config=config.to_dict(), config_hash="0", paradigm="self_reward", status="waiting"
    )
    iteration = Iteration.objects.create(run=run, number=1)
    Stage.objects.create(
        iteration=iteration, kind="review", position=0, queue="light", status="waiting", total=size, unit="pairs"
    )
    block = min(size, BLOCK)
    for start in range(0, block, BATCH):
        numbers = range(start, min(start + BATCH, block))
        prompts = Prompt.objects.bulk_create(
            Prompt(
                dataset=dataset, source="imported", messages=[{"role": "user", "content": f"Prompt {n}"}],
                text=f"Prompt {n}: how often does it need water?", content_hash=f"{n:064d}", position=n,
            )
            for n in numbers
        )  # fmt: skip
        responses = Response.objects.bulk_create(
            Response(
                prompt=prompt, iteration=iteration, source="student", purpose="candidate", index=index,
                text=" ".join(draw.choices(WORDS, k=180)),
            )
            for prompt in prompts
            for index in (0, 1)
        )  # fmt: skip
        judge = imported_judge("M1")
        scores = [draw.choice([(4.0, 2.0), (5.0, 1.0), (3.0, 2.5)]) for _ in prompts]
        Judgement.objects.bulk_create(
            Judgement(
                response=response, iteration=iteration, source="self", judge=judge, score=scores[place // 2][place % 2],
                samples=[], parsed_count=3, sample_count=3, spread=0.3,
            )
            for place, response in enumerate(responses)
        )  # fmt: skip
        PreferencePair.objects.bulk_create(
            PreferencePair(
                iteration=iteration, prompt=prompt, chosen=responses[2 * place], rejected=responses[2 * place + 1],
                chosen_score=scores[place][0], rejected_score=scores[place][1],
                margin=scores[place][0] - scores[place][1], origin="self",
            )
            for place, prompt in enumerate(prompts)
        )  # fmt: skip
    for copy in range(1, -(-size // block)):
        for model, step in ((Prompt, 1), (Response, 2), (Judgement, 2), (PreferencePair, 1)):
            _copy(model, step, copy * block, min(block, size - copy * block))
    _renumber(Prompt, Response, Judgement, PreferencePair)
    group, _ = Group.objects.get_or_create(name="lead")
    crew = [User.objects.create_user(f"person{number}") for number in range(people)]
    for person in crew:
        person.groups.add(group)
    return iteration, crew


def _copy(model: Any, step: int, shift: int, count: int) -> None:
    """Copy a table's rows of the first ``count`` prompts (``step`` rows per prompt), shifted by ``shift`` prompts."""
    from django.db import connection

    # Columns that refer to copied rows, and the number of those rows per prompt.
    moved = {"id": step, "prompt_id": 1, "response_id": 2, "chosen_id": 2, "rejected_id": 2, "position": 1}
    columns = [field.column for field in model._meta.concrete_fields]
    names = ", ".join(f'"{column}"' for column in columns)
    values = []
    for column in columns:
        if column in moved:
            values.append(f'"{column}" + {shift * moved[column]}')
        elif column == "content_hash":
            values.append(f"'{shift:010d}' || substr(content_hash, 11)")
        else:
            values.append(f'"{column}"')
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {table} "
            f"WHERE id <= (SELECT min(id) FROM {table}) + {step * count - 1}"
        )


def _renumber(*models: Any) -> None:
    """Make PostgreSQL number new rows after the copied ones, and analyze its tables as autovacuum would."""
    from django.core.management.color import no_style
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")


def _client(person: Any) -> Any:
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = sorted(1000 * value for value in seconds)
    return {f"{name}_p50": statistics.median(ordered), f"{name}_p95": ordered[int(0.95 * (len(ordered) - 1))]}


def _in_a_row(queue: int, person: Any, requests: int) -> dict[str, float]:
    """Answer items sequentially as one person, like the desk: next, reveal, submit."""
    client = _client(person)
    times: dict[str, list[float]] = defaultdict(list)

    def post(name: str, address: str, body: dict[str, Any]) -> Any:
        begun, worked = time.perf_counter(), time.thread_time()
        reply = client.post(f"/api/v1/{address}", json.dumps(body), content_type="application/json")
        times[name].append(time.perf_counter() - begun)
        times[f"{name}_cpu"].append(time.thread_time() - worked)
        assert reply.status_code in (200, 201), reply.content
        return reply.json()

    for number in range(requests + 10):
        item = post("next", f"queues/{queue}/next", {})
        answer = {"preferred": item["items"][number % 2]["id"], "reason": "clearer"}
        post("reveal", f"tasks/{item['id']}/reveal", answer)
        post("submit", f"tasks/{item['id']}/submit", answer)
    figures: dict[str, float] = {}
    for name, seconds in times.items():
        figures |= _percentiles(name, seconds[10:])  # the first ten warm up the caches
    return figures


def _lists(queue: int, person: Any, size: int) -> dict[str, float]:
    client, last = _client(person), -(-size // 50)
    figures: dict[str, float] = {}
    for name, page in (("list_first", 1), ("list_deep", last)):
        seconds = []
        for _ in range(20):
            begun = time.perf_counter()
            assert client.get(f"/review/{queue}/items/?page={page}").status_code == 200
            seconds.append(time.perf_counter() - begun)
        figures |= _percentiles(name, seconds[2:])
    return figures


def _together(queue: Any, people: list[Any], rounds: int) -> dict[str, float]:
    """Let all people answer at once, repeatedly. Counts items served twice, lost answers, and status 500."""
    from django.db import connections

    before = type(queue).objects.get(pk=queue.pk).done_count
    barrier = threading.Barrier(len(people))
    got: list[int] = []
    waits: list[float] = []
    statuses: list[int] = []

    def work(person: Any) -> None:
        client = _client(person)
        try:
            for _ in range(rounds):
                barrier.wait(timeout=600)
                begun = time.perf_counter()
                reply = client.post(f"/api/v1/queues/{queue.pk}/next", "{}", content_type="application/json")
                waits.append(time.perf_counter() - begun)
                statuses.append(reply.status_code)
                if reply.status_code != 200:
                    continue
                task = reply.json()["id"]
                got.append(task)
                body = json.dumps({"decision": "confirm"})
                reply = client.post(f"/api/v1/tasks/{task}/submit", body, content_type="application/json")
                statuses.append(reply.status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served = Counter(got)
    counted = type(queue).objects.get(pk=queue.pk).done_count - before
    return {
        "together": len(people),
        "asked": len(people) * rounds,
        "twice": sum(count - 1 for count in served.values()),
        "lost": len(people) * rounds - counted,
        "errors": sum(status >= 500 for status in statuses),
        **_percentiles("together_next", waits),
    }


def _print(found: list[dict[str, Any]], database: str) -> None:
    print(f"{database}; milliseconds, p50 / p95; in brackets the p50 of this process's own CPU time")
    names = ("next", "reveal", "submit", "list_first", "list_deep", "together_next")
    heads = [*(name.replace("_", " ") for name in names), "twice", "lost", "500", "make queue", "memory"]
    print("| items | " + " | ".join(heads) + " |")
    print("|" + " --- |" * (len(heads) + 1))
    for row in found:
        cells = []
        for name in names:
            cpu = f" ({row[f'{name}_cpu_p50']:.1f})" if f"{name}_cpu_p50" in row else ""
            cells.append(f"{row[f'{name}_p50']:.1f} / {row[f'{name}_p95']:.1f}{cpu}")
        ends = [row["twice"], row["lost"], row["errors"], f"{row['make_queue_s']:.1f} s", f"{row['memory_mb']:.0f} MB"]
        print(f"| {row['tasks']:,} | " + " | ".join([*cells, *map(str, ends)]) + " |", flush=True)
    if len(found) > 1:
        first, last = found[0], found[-1]
        ratios = ", ".join(f"{name} {last[f'{name}_p95'] / first[f'{name}_p95']:.2f}" for name in ("next", "submit"))
        print(f"p95 at {last['tasks']:,} over p95 at {first['tasks']:,}: {ratios}")


if __name__ == "__main__":
    sys.exit(main())
