"""Answers what people ask a checkpoint: beside ``training.jobs``, the other place where science and record meet.

Nobody imports this module; ``alignment_app.services.chat`` enqueues it by dotted name.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import replace

from redis.exceptions import RedisError
from rq import get_current_job
from rq.worker import Worker

from alignment_app import logs
from alignment_app.models import Checkpoint
from alignment_app.services import artifacts, chat, keys, queues
from alignment_app.services.chat import Answer, Question
from alignment_app.services.errors import Refused
from training import judges
from training.config import ConfigError
from training.domain.engine_kinds import ENGINES
from training.engines import EngineSpec, create_engine, student_spec, teacher_spec
from training.engines.base import Engine, EngineError, Request, Sampling
from training.engines.oracle import OracleEngine
from training.engines.transformers_engine import TransformersEngine

log = logging.getLogger(__name__)

#: How long loaded weights wait for the next turn before the memory is given back.
LINGER_SECONDS = 180
#: Seconds between two looks at an answer that is being written.
SCRIBE_SECONDS = 0.3
#: Two, so that talking to two checkpoints side by side loads each once.
ENGINES_HELD = 2


def answer_questions() -> int:
    """Answer what was asked, then wait a while for more where this worker has nothing else to do.

    Returns how many questions were answered.
    """
    desk = Desk()
    linger = LINGER_SECONDS if _serves_nothing_else() else 0
    answered = 0
    question = chat.take(0)
    while question is not None:
        desk.answer(question)
        answered += 1
        question = chat.take(linger)
    desk.close()
    return answered


def _serves_nothing_else() -> bool:
    job = get_current_job()
    worker = Worker.find_by_key(f"rq:worker:{job.worker_name}", connection=queues.connection()) if job else None
    return worker is not None and worker.queue_names() == [queues.INTERACTIVE]


TOO_LONG = (
    "The conversation is longer than this model reads at once: its run set {limit} tokens (student.max_length) for the "
    "words and the answer together. Begin a new conversation, or say less at once."
)


class _Scribe:
    """Tells the text of an answer while it grows, a few times a second at most."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._told_at = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._told_at >= SCRIBE_SECONDS:
            chat.tell(self._question, Answer("writing", text.strip()))
            self._told_at = time.monotonic()


class _Pulse:
    """Beats in a thread while an answer is made, so that nobody waits for a worker that was killed over it."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="chat-pulse", daemon=True)

    def __enter__(self) -> None:
        chat.beat(self._question)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(chat.PULSE_SECONDS / 5):
            with contextlib.suppress(RedisError):  # the server may be back before the pulse is missed
                chat.beat(self._question)


class Desk:
    """Keeps the engines of the last checkpoints that were talked to."""

    def __init__(self) -> None:
        self._engines: OrderedDict[EngineSpec, Engine] = OrderedDict()

    def answer(self, question: Question) -> None:
        """Generate the answer and tell it; whatever goes wrong is told as the reason."""
        try:
            with _Pulse(question):
                answer = self._generate(question)
        except (EngineError, ConfigError, Refused) as error:
            answer = Answer("failed", reason=logs.hide(str(error)))
        except Exception as error:
            log.exception("a question to checkpoint %s was not answered", question.checkpoint)
            reason = f"{type(error).__name__}: {error}. The worker's log has the rest."
            answer = Answer("failed", reason=logs.hide(reason))
        chat.tell(question, answer)

    def close(self) -> None:
        """Give back all memory."""
        while self._engines:
            self._engines.popitem()[1].close()

    def _generate(self, question: Question) -> Answer:
        checkpoint = Checkpoint.objects.select_related("run").filter(pk=question.checkpoint).first()
        if checkpoint is None:
            return Answer("failed", reason="The checkpoint was removed. Choose another one.")
        engine = self._engine(question, _teacher(checkpoint) if question.of_teacher else _spec(checkpoint))
        if isinstance(engine, OracleEngine) and question.judge:
            engine.judges = (judges.read_judge(question.judge),)
        request = Request(question.id, question.messages, question.seed)
        most = question.max_new_tokens
        if isinstance(engine, TransformersEngine):
            engine.watch = _Scribe(question)
            most = min(most, engine.room(request))
            if most < 1:
                return Answer("failed", reason=TOO_LONG.format(limit=engine.max_length))
        chat.tell(question, Answer("writing"))
        began = time.monotonic()
        sampling = Sampling(
            temperature=question.temperature, top_p=1.0 if question.temperature == 0 else 0.9,
            max_new_tokens=most,
        )  # fmt: skip
        done = next(iter(engine.generate([request], sampling)))
        if done.finish_reason == "error":
            return Answer("failed", reason=done.error)
        return Answer(
            "done", done.text.strip(), done.token_count, time.monotonic() - began, cut=done.finish_reason == "length"
        )

    def _engine(self, question: Question, spec: EngineSpec) -> Engine:
        if spec in self._engines:
            self._engines.move_to_end(spec)
            return self._engines[spec]
        chat.tell(question, Answer("loading"))
        while len(self._engines) >= ENGINES_HELD:
            self._engines.popitem(last=False)[1].close()
        self._engines[spec] = create_engine(spec)
        return self._engines[spec]


def _spec(checkpoint: Checkpoint) -> EngineSpec:
    """The run's own engine; but weights made here are loaded by transformers, whose start is the quickest."""
    config = checkpoint.run.typed_config
    spec = student_spec(config, artifacts.resolve(checkpoint.location))
    is_remote = ENGINES[spec.kind].is_remote and checkpoint.kind == Checkpoint.Kind.BASE
    if is_remote:
        return replace(spec, key=keys.open_key(spec.kind, config.engine.key, spec.base_url))
    return replace(spec, kind="transformers", base_url="", batch_size=1)


def _teacher(checkpoint: Checkpoint) -> EngineSpec:
    """The teacher of the checkpoint's run. What it costs here is on nobody's account: one answer to one question."""
    config = checkpoint.run.typed_config
    spec = teacher_spec(config)
    if ENGINES[spec.kind].is_remote:
        return replace(spec, key=keys.open_key(spec.kind, config.teacher.key, spec.base_url))
    return replace(spec, model=artifacts.resolve(spec.model)) if ENGINES[spec.kind].loads_weights else spec
