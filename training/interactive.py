"""Job that answers people's questions to a checkpoint. Like ``training.jobs``, it belongs to the integration layer.

No module imports it; ``alignment_app.services.chat`` enqueues it by dotted name.
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
from training.config import MODEL_ROLES, ConfigError
from training.domain.engine_kinds import ENGINES
from training.engines import EngineSpec, create_engine, model_spec, student_spec
from training.engines.base import Engine, EngineError, Request, Sampling
from training.engines.oracle import OracleEngine
from training.engines.transformers_engine import TransformersEngine
from training.gguf_conversion import loadable

log = logging.getLogger(__name__)

#: How long loaded weights stay in memory without a question.
LINGER_SECONDS = 180
#: Seconds between two updates of an answer that is being generated.
SCRIBE_SECONDS = 0.3
#: Two, so that chatting with two checkpoints side by side loads each once.
ENGINES_HELD = 2


def answer_questions() -> int:
    """Answer the queued questions, then wait for more if this worker serves no other queue.

    Returns the number of answered questions.
    """
    engines = ChatEngines()
    linger = LINGER_SECONDS if _serves_nothing_else() else 0
    answered = 0
    question = chat.take_question(0)
    while question is not None:
        engines.answer(question)
        answered += 1
        question = chat.take_question(linger)
    engines.close()
    return answered


def _serves_nothing_else() -> bool:
    job = get_current_job()
    worker = Worker.find_by_key(f"rq:worker:{job.worker_name}", connection=queues.connection()) if job else None
    return worker is not None and worker.queue_names() == [queues.INTERACTIVE]


TOO_LONG = (
    "The conversation is too long for this model: its run allows {limit} tokens (student.max_length) for the "
    "conversation and the answer together. Start a new conversation, or send a shorter message."
)


class _AnswerPublisher:
    """Publishes the text of an answer while it is generated, a few times per second at most."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._told_at = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._told_at >= SCRIBE_SECONDS:
            chat.publish_answer(self._question, Answer("writing", text.strip()))
            self._told_at = time.monotonic()


class _QuestionHeartbeat:
    """Sends heartbeats from a thread while an answer is generated, so that a killed worker is noticed."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="chat-pulse", daemon=True)

    def __enter__(self) -> None:
        chat.send_pulse(self._question)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(chat.PULSE_SECONDS / 5):
            with contextlib.suppress(RedisError):  # the server may be back before the heartbeat times out
                chat.send_pulse(self._question)


class ChatEngines:
    """Answers questions, and caches the engines of the most recent checkpoints."""

    def __init__(self) -> None:
        self._engines: OrderedDict[EngineSpec, Engine] = OrderedDict()

    def answer(self, question: Question) -> None:
        """Generate and publish the answer; an error is published as its reason."""
        try:
            with _QuestionHeartbeat(question):
                answer = self._generate(question)
        except (EngineError, ConfigError, Refused) as error:
            answer = Answer("failed", reason=logs.hide(str(error)))
        except Exception as error:
            log.exception("a question to checkpoint %s was not answered", question.checkpoint)
            reason = f"{type(error).__name__}: {error}. See the worker's log for details."
            answer = Answer("failed", reason=logs.hide(reason))
        chat.publish_answer(question, answer)

    def close(self) -> None:
        """Free all memory."""
        while self._engines:
            self._engines.popitem()[1].close()

    def _generate(self, question: Question) -> Answer:
        checkpoint = Checkpoint.objects.select_related("run").filter(pk=question.checkpoint).first()
        if checkpoint is None:
            return Answer("failed", reason="The checkpoint was removed. Choose another one.")
        engine = self._engine(question, _model(checkpoint, question.role) if question.role else _spec(checkpoint))
        if isinstance(engine, OracleEngine) and question.judge:
            engine.judges = (judges.read_judge(question.judge),)
        request = Request(question.id, question.messages, question.seed)
        most = question.max_new_tokens
        if isinstance(engine, TransformersEngine):
            engine.watch = _AnswerPublisher(question)
            most = min(most, engine.max_answer_tokens(request))
            if most < 1:
                return Answer("failed", reason=TOO_LONG.format(limit=engine.max_length))
        chat.publish_answer(question, Answer("writing"))
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
        chat.publish_answer(question, Answer("loading"))
        while len(self._engines) >= ENGINES_HELD:
            self._engines.popitem(last=False)[1].close()
        self._engines[spec] = create_engine(spec)
        return self._engines[spec]


def _spec(checkpoint: Checkpoint) -> EngineSpec:
    """Return the run's engine; local weights use transformers, which starts fastest."""
    config = checkpoint.run.typed_config
    spec = student_spec(config, _weights(checkpoint.location))
    is_remote = ENGINES[spec.kind].is_remote and checkpoint.kind == Checkpoint.Kind.BASE
    if is_remote:
        return replace(spec, key=keys.open_key(spec.kind, config.engine.key, spec.base_url))
    return replace(spec, kind="transformers", base_url="", batch_size=1)


def _model(checkpoint: Checkpoint, role: str) -> EngineSpec:
    """Return the teacher, or another judging model, of the checkpoint's run. Its cost is not charged to the run."""
    config = checkpoint.run.typed_config
    section = next(one for one in MODEL_ROLES if one == role)
    spec = model_spec(config, section)
    if ENGINES[spec.kind].is_remote:
        return replace(spec, key=keys.open_key(spec.kind, config.model_of(section).key, spec.base_url))
    return replace(spec, model=_weights(spec.model)) if ENGINES[spec.kind].loads_weights else spec


def _weights(location: str) -> str:
    """Return the folder or hub name of the weights at a stored location."""
    return loadable(artifacts.resolve(location), artifacts.converted_models())
