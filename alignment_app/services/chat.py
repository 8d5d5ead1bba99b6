"""Chat with a checkpoint outside of runs. Questions and answers are kept in Valkey, not in the database.

A question is pushed on a list and a job is enqueued on the queue ``interactive``. The job answers questions until the
list is empty, so model weights stay loaded between turns. Answers are kept for an hour.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast

from redis.exceptions import RedisError
from rq import Queue, Worker

from alignment_app.services import queues
from alignment_app.services.errors import Refused
from training.domain.rows import Message

ENTRY_POINT: Final = "training.interactive.answer_questions"
QUESTIONS: Final = "plumbline:chat:questions"
KEEP_SECONDS: Final = 3600
#: Seconds without an answer after which a question counts as failed.
PATIENCE_SECONDS: Final = 600
#: Seconds without a pulse after which the worker at an answer counts as dead.
PULSE_SECONDS: Final = 15

State = Literal["waiting", "loading", "writing", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that ends with a user turn, for a checkpoint, or for another model of its run.

    ``role`` is the section of the config that names the other model, such as "teacher"; "" for the checkpoint.
    """

    id: str
    checkpoint: int
    messages: tuple[Message, ...]
    temperature: float
    max_new_tokens: int
    seed: int
    role: str = ""
    judge: str = ""  # YAML of the judge of this prompt, for a rule-based teacher


@dataclass(frozen=True, slots=True)
class Answer:
    """The state of an answer. ``reason`` says why it failed or what it waits for, and what to do."""

    state: State
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    cut: bool = False  # ended at the token limit
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed")


def ask(
    checkpoint: int,
    messages: Sequence[Message],
    *,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    role: str = "",
    judge: str = "",
) -> str:
    """Enqueue a question and return its id. Raises :class:`Refused` when the queue server is not available."""
    question = Question(
        secrets.token_urlsafe(12), checkpoint, tuple(messages), temperature, max_new_tokens, seed, role, judge
    )
    client = queues.connection()
    try:
        waiting = {"state": "waiting", "said_at": time.time()}
        client.set(_key(question.id), json.dumps(waiting), ex=PATIENCE_SECONDS)
        client.rpush(QUESTIONS, json.dumps(asdict(question)))
        queue = Queue(queues.INTERACTIVE, connection=client)
        if ENTRY_POINT not in _waiting(queue):  # a waiting job will also take this question
            queue.enqueue_call(ENTRY_POINT, description="chat", timeout=-1, result_ttl=0, failure_ttl=3600)
    except (RedisError, OSError):
        raise Refused(
            "queue-away",
            "The queue server does not respond. See the page System.",
            status=503,
        ) from None
    return question.id


def _waiting(queue: Queue) -> set[str]:
    """The entry points of the waiting jobs in the chat queue; there are always few."""
    return {job.func_name or "" for job in queue.get_jobs(0, 20)}


def take_question(wait_seconds: float) -> Question | None:
    """Return the oldest question, waiting up to ``wait_seconds``; ``None`` if there is none. Called by the worker.

    The wait ends early if the queue has another job, such as a key test, which the same worker must run.
    Questions older than ten minutes are dropped: their authors have already been shown a failure.
    """
    client = queues.connection()
    queue = Queue(queues.INTERACTIVE, connection=client)
    deadline = time.monotonic() + wait_seconds
    while True:
        raw = client.lpop(QUESTIONS)
        if raw is None:
            if time.monotonic() >= deadline or _waiting(queue) - {ENTRY_POINT}:
                return None
            found = client.blpop([QUESTIONS], timeout=1)  # shorter than the client's socket timeout
            raw = found[1] if found else None
        if raw is not None:
            data: dict[str, Any] = json.loads(cast(bytes, raw))
            if client.exists(_key(data["id"])):
                return Question(**(data | {"messages": tuple(data["messages"])}))


def publish_answer(question: Question, answer: Answer) -> None:
    """Store the state of an answer. Called by the worker."""
    said = asdict(answer) | {"said_at": time.time()}
    queues.connection().set(_key(question.id), json.dumps(said), ex=KEEP_SECONDS)


def send_pulse(question: Question) -> None:
    """Signal that a worker is at work on this answer. Called by the worker every few seconds."""
    queues.connection().set(_pulse_key(question.id), 1, ex=PULSE_SECONDS)


def answer_to(question_id: str) -> Answer:
    """Return the state of the answer to a question. Never raises: ``reason`` holds the error."""
    try:
        raw, pulse = queues.connection().mget(_key(question_id), _pulse_key(question_id))
    except (RedisError, OSError):
        return Answer("waiting", reason="The queue server does not respond. See the page System.")
    if raw is None:
        return Answer("failed", reason=LOST)
    data: dict[str, Any] = json.loads(cast(bytes, raw))
    silent_for = time.time() - data.pop("said_at")
    answer = Answer(**data)
    if answer.is_over:
        return answer
    if answer.state in ("loading", "writing") and pulse is None:
        return Answer("failed", reason=DIED)
    if silent_for > PATIENCE_SECONDS:
        return Answer("failed", reason=LOST)
    if answer.state == "waiting" and silent_for > 1 and not is_served():
        return Answer("waiting", reason=NOBODY)
    return answer


LOST: Final = "No answer within ten minutes, or the queue server was restarted. See the page System, then ask again."
DIED: Final = "The worker died while answering. It restarts automatically; ask again."
NOBODY: Final = (
    "No worker serves the chat queue. Start one with python manage.py worker --queues interactive; "
    "the question is kept for ten minutes."
)


def is_served() -> bool:
    """Return whether a worker serves the chat queue."""
    try:
        workers = Worker.all(connection=queues.connection())
        return any(queues.INTERACTIVE in worker.queue_names() for worker in workers)
    except (RedisError, OSError):
        return False


def _key(question_id: str) -> str:
    return f"plumbline:chat:answer:{question_id}"


def _pulse_key(question_id: str) -> str:
    return f"plumbline:chat:pulse:{question_id}"
