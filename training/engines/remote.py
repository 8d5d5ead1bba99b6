"""Base of remote engines: bounded concurrency, retries with back-off, and failures returned as completions."""

from __future__ import annotations

import queue
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from training.domain.rows import Message
from training.domain.secret import Secret
from training.domain.spending import Usage, worst_case
from training.engines.base import BudgetReached, Completion, EngineError, Inflow, Request, Sampling, Unanswered
from training.engines.metering import Call, Meter, Outcome

#: Consecutive unanswered requests, each with retries, after which the provider is considered unavailable.
UNAVAILABLE_AFTER = 12
#: Different prompts, refused in the same words before any answer, after which no other request is sent.
REFUSED_AFTER = 8
#: Attempts at a request that the provider blocks: its filters see sampled text, and another sample may pass.
BLOCKED_TRIES = 3
#: Longest wait in seconds that a provider may request. Above it, the provider is considered unavailable.
MAX_REQUESTED_WAIT = 900.0
#: Seconds to wait for requests in flight when generation ends early, so that paid answers are saved.
DRAIN_SECONDS = 5.0
_POLL_SECONDS = 0.5


class TryAgain(Exception):
    """The request failed but can be retried. ``after`` is the wait in seconds that the provider requested, if any.

    ``outcome`` is the outcome of this attempt. After the last attempt, empty and blocked count as a refusal.
    """

    def __init__(
        self,
        reason: str,
        after: float | None = None,
        *,
        outcome: Outcome = "failed",
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason)
        self.after, self.outcome, self.usage = after, outcome, usage


class Refused(Exception):
    """The provider rejected the request, or answered so that a retry would end in the same way.

    ``outcome`` and ``usage`` are those of this attempt, as for :class:`TryAgain`.
    """

    def __init__(self, reason: str, *, outcome: Outcome = "failed", usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.outcome, self.usage = outcome, usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion and the usage that the provider reported, or ``None``."""

    completion: Completion
    usage: Usage | None


class RemoteEngine(ABC):
    """Sends each request to a provider separately. Subclasses implement :meth:`ask`, a single attempt.

    A request that fails ``attempts`` times yields an error completion, so one bad request does not affect the others.
    The generation as a whole ends with :class:`training.engines.base.EngineError` (a bad key, an unknown model),
    :class:`training.engines.base.Unanswered` (the provider is unavailable) or
    :class:`training.engines.base.BudgetReached`, each raised after the requests in flight were awaited.
    """

    name = "remote"
    in_flight = 0

    def __init__(
        self,
        *,
        key: Secret | None = None,
        system: str = "",
        concurrency: int = 4,
        attempts: int = 6,
        base_delay: float = 0.5,
        max_delay: float = 60,
        reasoning_tokens: int = 0,
    ) -> None:
        self.key = key
        self.reasoning_tokens = reasoning_tokens
        self.system = system
        self.concurrency = concurrency
        self.attempts = attempts
        self.base_delay = base_delay
        self.max_delay = max_delay
        self.meter: Meter | None = None
        #: ``should_stop`` ends generation at once; ``has_enough`` sends no new requests but awaits those in flight.
        self.should_stop: Callable[[], bool] = lambda: False
        self.has_enough: Callable[[], bool] = lambda: False
        #: Called when no answer has arrived for half a second.
        self.on_idle: Callable[[], None] = lambda: None

    @abstractmethod
    def ask(self, request: Request, sampling: Sampling) -> Answer:
        """Send one request.

        Raises :class:`TryAgain`, :class:`Refused` or :class:`training.engines.base.EngineError`.
        """

    @classmethod
    def count_models(cls, key: Secret, base_url: str, timeout: float) -> int:
        """Return the number of models that the provider lists for this key; a free request.

        Raises the SDK's error if the key is refused or nothing answers within ``timeout`` seconds, and
        :class:`training.engines.base.EngineError` if the provider has no list of models.
        """
        raise EngineError("Keys of this provider cannot be tested.")

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def messages(self, request: Request) -> tuple[Message, ...]:
        """Return the request's turns, preceded by the engine's system text if set."""
        system: Message = {"role": "system", "content": self.system}
        return (system, *request.messages) if self.system else request.messages

    def limit(self, sampling: Sampling) -> int:
        """Return the token limit of a request. Providers count reasoning in it, so its tokens are added."""
        return sampling.max_new_tokens + self.reasoning_tokens

    def empty_at_limit(self, sampling: Sampling, ended: str, usage: Usage | None) -> Refused:
        """Return the refusal for an answer without text that ended at the token limit: all of it was reasoning.

        A retry would be paid again and end in the same way. ``ended`` is the provider's word for the limit.
        """
        return Refused(
            f"the answer was empty and ended at the limit of {self.limit(sampling)} tokens ({ended}). A model that "
            "reasons counts its thoughts in the limit: clone the run with a larger reasoning_tokens (now "
            f"{self.reasoning_tokens}) in the section of this model, such as teacher",
            outcome="empty",
            usage=usage,
        )

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield completions as they arrive, with at most ``concurrency`` requests in flight."""
        batches = iter([requests] if requests else [])
        return self.follow(lambda: next(batches, None), sampling)

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """Like :meth:`generate`, for requests that arrive over time. Polls ``inflow`` when all known ones are sent."""
        flight = _Generation(self, inflow, sampling)
        try:
            yield from flight.completions()
        finally:
            flight.end()

    def hide(self, text: str) -> str:
        """Mask the key in ``text``: servers repeat it in their errors."""
        return self.key.hide(text) if self.key else text

    def delay(self, tries: int, requested: float | None) -> float:
        """Return the seconds until the next attempt: exponential back-off with jitter.

        The provider's requested wait is a lower bound, and may exceed ``max_delay``.
        """
        own = self.base_delay * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)
        return max(min(own, self.max_delay), requested or 0.0)


@dataclass(slots=True)
class _PendingRequest:
    request: Request
    worst: Usage
    tries: int = 0
    due: float = 0.0


class _Generation:
    """One generation. Threads only send requests; all bookkeeping runs in the consumer's thread."""

    def __init__(self, engine: RemoteEngine, inflow: Inflow, sampling: Sampling) -> None:
        self.engine, self.sampling = engine, sampling
        self.inflow: Inflow | None = inflow  # None: the source has ended
        self.unsent: deque[_PendingRequest] = deque()
        self.retries: list[_PendingRequest] = []
        self.running: dict[Future[Answer], _PendingRequest] = {}
        self.done: queue.SimpleQueue[Future[Answer]] = queue.SimpleQueue()  # polling all of `running` is slow
        self.unanswered: list[Completion] = []  # consecutive unanswered requests
        #: Refused prompts by reason, until the first answer.
        self.refused: dict[str, set[tuple[str, ...]]] | None = {}
        self.ending: EngineError | None = None
        self.not_before = 0.0
        self.pool = ThreadPoolExecutor(engine.concurrency, thread_name_prefix=engine.name)

    def completions(self) -> Iterator[Completion]:
        while True:
            if known := self._receive():
                yield from known
                continue
            if not (self.inflow or self.unsent or self.retries or self.running):
                break
            pause = self._start()
            self.engine.in_flight = len(self.running)
            if self.running:
                future = self._ended(pause)
                if future and (completion := self._completion_of(future)):
                    yield completion
            else:
                future = None
                if not self.ending:
                    time.sleep(pause)
            if future is None:
                self.engine.on_idle()
            if self.engine.should_stop():
                self._end_with(Unanswered("The run was asked to stop."))
                break
            if self.engine.has_enough():
                self._end_with(Unanswered("No more answers were needed."))
        if self.ending:
            raise self.ending

    def _receive(self) -> list[Completion]:
        """Accept new requests once all others are sent. Returns the stored completions among them."""
        if self.unsent or self.inflow is None:
            return []
        arrived = self.inflow()
        if arrived is None:
            self.inflow = None
            return []
        known = self.engine.meter.known(arrived, self.sampling) if self.engine.meter else []
        answered = {completion.key for completion in known}
        limit = self.engine.limit(self.sampling)
        self.unsent.extend(
            _PendingRequest(request, worst_case(self.engine.messages(request), limit))
            for request in arrived
            if request.key not in answered
        )
        return known

    def _end_with(self, error: EngineError) -> None:
        """Send no new requests; those in flight are still awaited."""
        self.ending = self.ending or error
        self.inflow = None
        self.unsent.clear()
        self.retries.clear()

    def _start(self) -> float:
        """Send the requests that are due. Returns the maximum time to wait, in seconds."""
        engine, now = self.engine, time.monotonic()
        self.retries.sort(key=lambda one: one.due)
        while now >= self.not_before and len(self.running) < engine.concurrency:
            if self.retries and self.retries[0].due <= now:
                line: list[_PendingRequest] | deque[_PendingRequest] = self.retries
            elif self.unsent and len(self.running) + len(self.retries) < engine.concurrency:
                line = self.unsent
            else:
                break
            one = line[0]
            if engine.meter and not engine.meter.reserve(one.request, one.worst):
                if not self.running:  # otherwise a reservation will be released
                    self._end_with(BudgetReached(engine.meter.spent_reason()))
                break
            del line[0]
            one.tries += 1
            future = self.pool.submit(engine.ask, one.request, self.sampling)
            self.running[future] = one
            future.add_done_callback(self.done.put)
        due = [max(one.due, self.not_before) for one in self.retries[:1]]
        if self.unsent and not self.running and not due:
            due = [self.not_before]
        return min(_POLL_SECONDS, max(0.0, min(due) - now)) if due else _POLL_SECONDS

    def _ended(self, pause: float) -> Future[Answer] | None:
        """Return the next finished future, or ``None`` after ``pause`` seconds."""
        try:
            return self.done.get(timeout=pause)
        except queue.Empty:
            return None

    def _completion_of(self, future: Future[Answer]) -> Completion | None:
        """Return the completion of a finished attempt, or ``None`` if it will be retried or generation ends."""
        one = self.running.pop(future)
        engine, request = self.engine, one.request
        try:
            answer = future.result()
        except TryAgain as failure:
            self._count(one, failure.outcome, failure.usage)
            return self._retry(one, failure)
        except Refused as refusal:
            self._count(one, refusal.outcome, refusal.usage)
            self._track_refusals(request, str(refusal))
            return self._track_availability(self._error(request, str(refusal), refused=True))
        except EngineError as error:
            self._count(one, "failed")
            self._end_with(type(error)(engine.hide(str(error))))
            return None
        except BaseException:
            self._count(one, "lost")
            raise
        text = engine.hide(answer.completion.text)  # an answer must not leak the key either
        completion = answer.completion
        if text != completion.text:
            completion = Completion(
                request.key, text, completion.token_count, completion.finish_reason, request.seed, completion.logprob
            )
        self._count(one, "answered", answer.usage, completion)
        self.refused = None  # the provider does answer
        return self._track_availability(completion)

    def _retry(self, one: _PendingRequest, failure: TryAgain) -> Completion | None:
        engine = self.engine
        is_refusal = failure.outcome in ("empty", "blocked")
        reason = f"{failure} ({one.tries} attempts)"
        if failure.after and failure.after > MAX_REQUESTED_WAIT:
            reason = f"{failure} (requested a wait of {failure.after:.0f} seconds)"
            self._end_with(Unanswered.of([self._error(one.request, reason)]))
            return None
        if failure.after:
            self.not_before = max(self.not_before, time.monotonic() + failure.after)
        most = min(engine.attempts, BLOCKED_TRIES) if failure.outcome == "blocked" else engine.attempts
        if one.tries >= most:
            return self._track_availability(self._error(one.request, reason, refused=is_refusal))
        if self.ending is None:
            one.due = time.monotonic() + engine.delay(one.tries, failure.after)
            self.retries.append(one)
        return None

    def _error(self, request: Request, reason: str, *, refused: bool = False) -> Completion:
        reason = self.engine.hide(reason)
        return Completion(request.key, "", 0, "error", request.seed, error=reason, refused=refused)

    def _track_availability(self, completion: Completion) -> Completion:
        is_away = completion.finish_reason == "error" and not completion.refused
        self.unanswered = [*self.unanswered, completion] if is_away else []
        if len(self.unanswered) >= max(UNAVAILABLE_AFTER, 2 * self.engine.concurrency):
            self._end_with(Unanswered.of(self.unanswered))
        return completion

    def _track_refusals(self, request: Request, reason: str) -> None:
        """End the generation if the provider refuses whatever it is asked."""
        if self.refused is None:
            return
        asked = self.refused.setdefault(reason, set())
        asked.add(tuple(turn["content"] for turn in request.messages))
        if len(asked) >= REFUSED_AFTER:
            text = self.engine.hide(reason).rstrip(".")
            self._end_with(
                EngineError(
                    f"Every request was refused, so no more were sent: {text}. Correct the server and resume, which "
                    "asks again, or clone the run with other settings of the teacher or engine."
                )
            )

    def _count(
        self, one: _PendingRequest, outcome: Outcome, usage: Usage | None = None, completion: Completion | None = None
    ) -> None:
        if self.engine.meter is None:
            return
        if usage is None:  # an error status is free; assume the worst case otherwise
            usage = Usage() if outcome in ("failed", "unsent") else one.worst
        self.engine.meter.finalize(Call(one.request, outcome, usage, completion), one.worst)

    def end(self) -> None:
        """Stop sending; with a meter, await the requests in flight and count the lost ones."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.engine.in_flight = 0
        if self.engine.meter is None:
            return
        done, _ = wait(self.running, timeout=DRAIN_SECONDS)
        for future in done:
            if not future.cancelled():
                self._completion_of(future)
        for future, one in list(self.running.items()):
            self._count(one, "unsent" if future.cancelled() else "lost")
        self.running.clear()


def retry_after_seconds(header: str | None) -> float | None:
    """Parse a Retry-After header (a number, a number with "s", or a date) into seconds, or ``None``."""
    if not header:
        return None
    try:
        return max(0.0, float(header.strip().removesuffix("s")))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
