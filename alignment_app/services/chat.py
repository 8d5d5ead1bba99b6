"""Talking to a checkpoint outside any run: questions and answers on the queue's server, nothing in the database.

A question is pushed on a list, and a job is enqueued on the queue ``interactive``. The job takes questions until the
list is empty, so weights stay loaded between the turns of a conversation. Answers are kept for an hour.
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
#: After this long without an answer, whoever was to give it is taken to be gone.
PATIENCE_SECONDS: Final = 600
#: A worker that is at an answer and silent for so long has died over it.
PULSE_SECONDS: Final = 15

State = Literal["waiting", "loading", "writing", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that ends with a user turn, for one checkpoint, or for the teacher of the checkpoint's run."""

    id: str
    checkpoint: int
    messages: tuple[Message, ...]
    temperature: float
    max_new_tokens: int
    seed: int
    of_teacher: bool = False
    judge: str = ""  # the YAML of the judge whose prompt this is, for a teacher that is a program


@dataclass(frozen=True, slots=True)
class Answer:
    """How far an answer has come. ``reason`` says why it failed, or what it waits for, with the remedy."""

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
    of_teacher: bool = False,
    judge: str = "",
) -> str:
    """Enqueue a question. Returns its id. Raises :class:`Refused` where the queue's server is away."""
    question = Question(
        secrets.token_urlsafe(12), checkpoint, tuple(messages), temperature, max_new_tokens, seed, of_teacher, judge
    )
    client = queues.connection()
    try:
        waiting = {"state": "waiting", "said_at": time.time()}
        client.set(_key(question.id), json.dumps(waiting), ex=PATIENCE_SECONDS)
        client.rpush(QUESTIONS, json.dumps(asdict(question)))
        queue = Queue(queues.INTERACTIVE, connection=client)
        if ENTRY_POINT not in _waiting(queue):  # a job that waits runs after this question was put
            queue.enqueue_call(ENTRY_POINT, description="chat", timeout=-1, result_ttl=0, failure_ttl=3600)
    except (RedisError, OSError):
        raise Refused(
            "queue-away",
            "The queue's server does not answer, so nothing can be asked. See the page System.",
            status=503,
        ) from None
    return question.id


def _waiting(queue: Queue) -> set[str]:
    """The entry points of the jobs that wait in the chat's queue. There are never many."""
    return {job.func_name or "" for job in queue.get_jobs(0, 20)}


def take(wait_seconds: float) -> Question | None:
    """The oldest question, waiting for one up to ``wait_seconds``; ``None`` where none came. For the worker.

    The wait ends where the queue holds other work, such as the test of a key: its worker is this one.
    One that nobody took for ten minutes is dropped: whoever asked has been told so.
    """
    client = queues.connection()
    queue = Queue(queues.INTERACTIVE, connection=client)
    deadline = time.monotonic() + wait_seconds
    while True:
        raw = client.lpop(QUESTIONS)
        if raw is None:
            if time.monotonic() >= deadline or _waiting(queue) - {ENTRY_POINT}:
                return None
            found = client.blpop([QUESTIONS], timeout=1)  # in steps shorter than the client's own patience
            raw = found[1] if found else None
        if raw is not None:
            data: dict[str, Any] = json.loads(cast(bytes, raw))
            if client.exists(_key(data["id"])):
                return Question(**(data | {"messages": tuple(data["messages"])}))


def tell(question: Question, answer: Answer) -> None:
    """Say how far the answer has come. For the worker."""
    said = asdict(answer) | {"said_at": time.time()}
    queues.connection().set(_key(question.id), json.dumps(said), ex=KEEP_SECONDS)


def beat(question: Question) -> None:
    """Say that somebody is at this answer. For the worker, every few seconds."""
    queues.connection().set(_pulse_key(question.id), 1, ex=PULSE_SECONDS)


def answer_to(question_id: str) -> Answer:
    """How far the answer to a question has come. Never raises: what stands in the way is said in ``reason``."""
    try:
        raw, pulse = queues.connection().mget(_key(question_id), _pulse_key(question_id))
    except (RedisError, OSError):
        return Answer("waiting", reason="The queue's server does not answer. See the page System.")
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


LOST: Final = (
    "No answer came within ten minutes, or the queue's server was started anew. See the page System; ask again."
)
DIED: Final = "The worker that was at this answer has died. It is started again by itself; ask again."
NOBODY: Final = (
    "No worker answers questions at the moment. Start one with python manage.py worker --queues interactive; "
    "a question is kept for ten minutes and answered then."
)


def is_served() -> bool:
    """Whether a worker listens to the queue for questions."""
    try:
        workers = Worker.all(connection=queues.connection())
        return any(queues.INTERACTIVE in worker.queue_names() for worker in workers)
    except (RedisError, OSError):
        return False


def _key(question_id: str) -> str:
    return f"plumbline:chat:answer:{question_id}"


def _pulse_key(question_id: str) -> str:
    return f"plumbline:chat:pulse:{question_id}"
