"""The context of a stage's job: database rows, the run's config, engines, and errors that end the stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from django.db.models import QuerySet

from alignment_app.models import Checkpoint, Dataset, Judge, Judgement, Response, StageAttempt
from alignment_app.selectors import judges, scores
from alignment_app.selectors import work as selectors
from alignment_app.services import artifacts, events, judge_rows, keys, rows
from alignment_app.services.errors import Refused
from alignment_app.services.heartbeat import AttemptHeartbeat
from alignment_app.services.progress import Progress
from alignment_app.services.spending import Account
from training.config import EngineConfig, ModelConfig, ModelRole
from training.domain.engine_kinds import ENGINES
from training.domain.judges import Judge as JudgePrompt
from training.domain.rows import ComparisonDraft, ComparisonItem, JudgementDraft, LeftOut, PromptRow, ResponseRow
from training.domain.score_rule import ScoreRule
from training.domain.secret import Secret
from training.domain.seeds import derive_seed
from training.domain.spending import Price
from training.domain.verifiers.verify import VERSION
from training.engines.base import AllRefused, Engine, EngineError, Sampling
from training.engines.oracle import OracleEngine
from training.engines.pool import EnginePool
from training.engines.remote import RemoteEngine
from training.gguf_conversion import loadable
from training.jobs.paying import PaidEngine
from training.jobs.traffic import WatchedEngine, WatchedFollowingEngine
from training.stages.comparisons import compare_responses
from training.stages.judgements import JudgeItem, judge_arriving, judge_responses
from training.stages.responses import ResponseRequest, generate_responses
from training.stages.verifying import compare_by_checks, verify_responses

#: Interval of the queries for newly saved responses during an overlap.
POLL_SECONDS: Final = 0.3


class Halt(Exception):
    """Pauses the run for a person to look at it. The message gives the reason and the remedy, ``code`` the reason."""

    def __init__(self, code: StageAttempt.Reason, message: str) -> None:
        super().__init__(message)
        self.code = code


class CannotContinue(Exception):
    """The stage has no data to work on; the message gives the reason and the remedy."""


class StageWork:
    """Context of one attempt at a stage: its database rows, the run's config, and the engines."""

    def __init__(self, attempt: StageAttempt, heartbeat: AttemptHeartbeat, engines: EnginePool) -> None:
        self.attempt, self.heartbeat, self.engines = attempt, heartbeat, engines
        self.stage = attempt.stage
        self.iteration = self.stage.iteration
        self.run = self.iteration.run
        self.config = self.run.typed_config
        self._account: Account | None = None
        self._paid: dict[ModelRole, PaidEngine] = {}
        #: Rows of this attempt that were left out, because a model refused their prompts.
        self.left_out: list[LeftOut] = []

    @property
    def recorded(self) -> bool:
        """Whether candidates come from a data set instead of the student."""
        return self.config.uses_recorded_responses

    @property
    def start(self) -> Checkpoint:
        """The checkpoint that this iteration starts from."""
        checkpoint = self.iteration.input_checkpoint
        assert checkpoint is not None
        return checkpoint

    @property
    def student_limits(self) -> dict[str, Any]:
        """The student settings that both trainers take."""
        student = self.config.student
        return {
            "max_length": student.max_length,
            "dtype": student.dtype,
            "trust_remote_code": student.trust_remote_code,
        }

    @property
    def score_rule(self) -> ScoreRule:
        """The rule that selects the scores pairs are made from."""
        return scores.rule_of(self.iteration)

    def judge_of_pairs(self) -> Judge:
        """Return the judge that scores the candidates, and save it as the judge whose scores make the pairs."""
        source = self.score_rule.source
        judge = self.judge_row(self.start if source == Judgement.Source.SELF else None)
        rows.set_judge(self.attempt, self.iteration, judge, source=source)
        return judge

    def candidates(self) -> QuerySet[Response]:
        """The iteration's candidate responses."""
        return selectors.candidates(self.iteration, recorded=self.recorded)

    def seed(self, purpose: str, *parts: int | str) -> int:
        """Derive the seed of one generated row from the run's seed, the iteration, and the arguments."""
        return derive_seed(self.config.seed, purpose, self.iteration.number, *parts)

    def fixed_prompts(self, name: str, count: int, role: str) -> list[PromptRow]:
        """Return the prompts of the iteration with this role, which are the same in all iterations of the run.

        The first iteration draws ``count`` prompts of the data set ``name`` by ``evaluation.prompt_seed``.
        """
        if not self.iteration.iteration_prompts.filter(role=role).exists():
            chosen = selectors.prompts_of_earlier_iteration(self.iteration, role)
            if not chosen:
                dataset = Dataset.objects.get(name=name)
                chosen = selectors.draw_prompts(dataset, count, self.config.evaluation.prompt_seed, role)
            rows.use_prompts(self.attempt, self.iteration, chosen, role)
        return selectors.iteration_prompts(self.iteration, role)

    def student(self, checkpoint: Checkpoint) -> Engine:
        """Return the engine of one of the run's checkpoints."""
        return self.student_at(checkpoint.location)

    def student_at(self, location: str) -> Engine:
        """Return the student's engine with the weights at a stored location."""
        return self.engines.student(self.config, self.weights(location), self._key(self.config.engine))

    def weights(self, location: str) -> str:
        """Return the folder or hub name of the weights at a stored location; a GGUF file is converted once."""
        return loadable(
            artifacts.resolve(location), artifacts.converted_models(), lambda text: events.log(self.run.pk, text)
        )

    def teacher(self) -> Engine:
        """Return the teacher's engine."""
        return self.model("teacher")

    def model(self, role: ModelRole) -> Engine:
        """Return the engine of a section that judges or demonstrates. A remote one is wrapped in a PaidEngine."""
        section = self.config.model_of(role)
        model = self.weights(section.model) if section.entry.loads_weights else section.model
        engine = self.engines.model(self.config, role, model, self._key(section))
        if isinstance(engine, OracleEngine):  # it answers only the judge prompts that it knows
            engine.judges = tuple(self.judge_of(field) for field in self.config.judges())
        if not isinstance(engine, RemoteEngine):
            return engine
        if role not in self._paid:
            self._account = self._account or Account(self.attempt, self.run, self.config)
            line = self._account.line(
                f"{section.kind}: {model}"[:200], Price(section.prompt_price, section.completion_price)
            )
            engine.should_stop = self.heartbeat.should_stop
            self._paid[role] = PaidEngine(engine, line)
        return self._paid[role]

    def writer(self) -> Engine:
        """Return the engine that writes new prompts: the current student, the teacher, or a fixed model."""
        prompts = self.config.prompts
        if prompts.writer == "teacher":
            return self.teacher()
        if prompts.writer == "model":
            return self.student_at(prompts.writer_model)
        return self.student(self.start)

    def _key(self, section: EngineConfig | ModelConfig) -> Secret | None:
        """Return the API key of a remote engine. Raises :class:`EngineError` if the named key cannot be used."""
        if not ENGINES[section.kind].is_remote:
            return None
        try:
            return keys.open_key(section.kind, section.key, section.base_url)
        except Refused as refusal:
            raise EngineError(refusal.message) from None

    def finalize(self) -> None:
        """Await the requests in flight to paid models and save the account. Call before the attempt ends."""
        for paid in self._paid.values():
            paid.stop()

    def judge_of(self, field: str) -> JudgePrompt:
        """Return the judge prompt that a config field names, as frozen at the launch."""
        return judges.in_run(self.run, field)

    @property
    def teacher_name(self) -> str:
        """The teacher's name in judgements and evaluations."""
        return self.config.teacher.label

    def sampling(self, section: Any) -> Sampling:
        """Return the decoding parameters of a config section."""
        return Sampling(section.temperature, section.top_p, section.max_new_tokens)

    def generate(
        self,
        prompts: list[PromptRow],
        *,
        purpose: str,
        n: int,
        section: Any,
        progress: Progress,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Generate and save the missing responses to these prompts; without a checkpoint the teacher writes them.

        Prompts that the model refuses are left out. Raises :class:`AllRefused` if that leaves no response.
        """
        source = Response.Source.STUDENT if checkpoint else Response.Source.TEACHER
        missing = selectors.missing_responses(self.iteration, prompts, purpose=purpose, source=source, n=n)
        if not missing:
            return
        engine = WatchedEngine(self.student(checkpoint) if checkpoint else self.teacher(), progress)
        sampling = self.sampling(section)
        framed = purpose == Response.Purpose.CANDIDATE and self.config.candidates.short_answers
        # The type of a part belongs to the seed: a plain string here would change the samples of a resumed run.
        # Measures outside the repository have purposes of their own.
        seeded = Response.Purpose(purpose) if purpose in Response.Purpose.values else purpose
        requests = [ResponseRequest(prompt, index, self.seed(seeded, prompt.words, index)) for prompt, index in missing]
        left_out: list[LeftOut] = []
        progress.save_in_batches(
            generate_responses(requests, engine, sampling, short_answers=framed, left_out=left_out.append),
            lambda drafts: rows.save_responses(
                self.attempt,
                self.iteration,
                drafts,
                purpose=purpose,
                source=source,
                checkpoint=checkpoint,
                author="" if checkpoint else self.teacher_name,
                sampling={
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "max_new_tokens": sampling.max_new_tokens,
                    **({"frame": "short_answer"} if framed else {}),
                },
            ),
            prompt_of=lambda draft: draft.prompt_id,
        )
        if progress.overlapping_stage is None:  # otherwise the stage itself asks for them again
            self.leave_out(left_out, total=len(prompts) * n)

    def leave_out(self, left_out: Sequence[LeftOut], *, total: int | None) -> None:
        """Count rows that were left out, of ``total`` in all. Raises :class:`AllRefused` if there are no others.

        ``total`` is ``None`` if the stage needs none of them.
        """
        if left_out and total is not None and len(left_out) >= total:
            raise AllRefused.of(left_out)
        self.left_out += left_out

    def judge(
        self,
        responses: QuerySet[Response],
        *,
        source: str,
        checkpoint: Checkpoint | None,
        progress: Progress,
        role: ModelRole = "teacher",
        required: bool = True,
    ) -> str:
        """Generate and save the missing judgements of these responses by a checkpoint, or by the model of a section.

        Responses whose judging prompt the model refuses are left out. Raises :class:`AllRefused` if that leaves no
        judgement and one is ``required``. Returns the judge's name.
        """
        judge = self.judge_row(checkpoint, role=role)
        todo = selectors.unjudged(responses, source=source, judge=judge)
        if not todo:
            return judge.name
        if checkpoint is None and self.config.model_of(role).entry.verifies:
            self._verify(todo, source=source, judge=judge, progress=progress)
            return judge.name
        engine = WatchedEngine(self.student(checkpoint) if checkpoint else self.model(role), progress)
        settings = self.config.judge_settings(role)
        form, sampling = self.judge_of(settings.template), self.sampling(settings.sampling)
        items = self._judge_items(todo, source, settings.k)
        prompt_of = {response.id: prompt.id for response, prompt in todo}
        left_out: list[LeftOut] = []
        drafts = judge_responses(items, engine, form, sampling, left_out=left_out.append)
        self.save_judgements(drafts, prompt_of, source=source, judge=judge, progress=progress)
        self.leave_out(left_out, total=responses.count() if required else None)
        return judge.name

    def _verify(
        self, todo: Sequence[tuple[ResponseRow, PromptRow]], *, source: str, judge: Judge, progress: Progress
    ) -> None:
        """Save the judgements of a verifier. Responses to prompts without checks stay unjudged, with a warning."""
        prompt_of = {response.id: prompt.id for response, prompt in todo}
        self.save_judgements(verify_responses(todo), prompt_of, source=source, judge=judge, progress=progress)
        if without := {prompt.id for _, prompt in todo if not prompt.checks}:
            events.log(
                self.run.pk,
                f"{len(without)} prompts carry no checks, so the verifier does not score their responses.",
                "warning",
            )

    def compare(
        self,
        items: Sequence[ComparisonItem],
        role: ModelRole,
        progress: Progress,
        *,
        left_out: Callable[[LeftOut], None],
    ) -> Iterator[ComparisonDraft]:
        """Yield the verdicts of a section's model on pairs of answers; a verifier decides by its scores."""
        if self.config.model_of(role).entry.verifies:
            return compare_by_checks(items)
        sampling = self.sampling(self.config.judge_settings(role).sampling)
        engine = WatchedEngine(self.model(role), progress)
        form = self.judge_of("evaluation.judge")
        return compare_responses(items, engine, form, sampling, left_out=left_out)

    def judge_arriving(self, responses: QuerySet[Response], *, progress: Progress) -> None:
        """Judge these responses with the remote teacher as they are written, until the overlap ends."""
        judge, source = self.judge_row(None), Judgement.Source.TEACHER
        teacher = self.teacher()
        assert isinstance(teacher, PaidEngine)
        prompt_of: dict[int, int] = {}
        last_id, next_query_at = 0, 0.0

        def arrivals() -> list[JudgeItem]:
            nonlocal last_id, next_query_at
            if time.monotonic() < next_query_at:
                return []
            todo = selectors.unjudged(responses.filter(pk__gt=last_id), source=source, judge=judge)
            last_id = max((response.id for response, _ in todo), default=last_id)
            next_query_at = time.monotonic() + POLL_SECONDS
            prompt_of.update((response.id, prompt.id) for response, prompt in todo)
            return self._judge_items(todo, source, self.config.judging.k)

        form, sampling = self.judge_of("judging.template"), self.sampling(self.config.judging)
        drafts = judge_arriving(arrivals, WatchedFollowingEngine(teacher, progress), form, sampling)
        self.save_judgements(drafts, prompt_of, source=source, judge=judge, progress=progress)

    def _judge_items(self, todo: Sequence[tuple[ResponseRow, PromptRow]], source: str, k: int) -> list[JudgeItem]:
        draws = range(k)
        return [
            JudgeItem(
                response,
                prompt,
                tuple(self.seed(f"judge {source}", prompt.words, response.index, draw) for draw in draws),
            )
            for response, prompt in todo
        ]

    def save_judgements(
        self,
        drafts: Iterator[JudgementDraft],
        prompt_of: Mapping[int, int],
        *,
        source: str,
        judge: Judge,
        progress: Progress,
    ) -> None:
        """Save judgements as they arrive."""
        progress.save_in_batches(
            drafts,
            lambda some: rows.save_judgements(
                self.attempt,
                self.iteration,
                some,
                source=source,
                judge=judge,
            ),
            prompt_of=lambda draft: prompt_of[draft.response_id],
        )

    def judge_row(
        self,
        checkpoint: Checkpoint | None,
        *,
        purpose: str = Judge.Purpose.SCORE,
        name: str = "",
        role: ModelRole = "teacher",
    ) -> Judge:
        """Return the judge row of a checkpoint, of the model ``name``, or by default of the model of a section."""
        compares = purpose == Judge.Purpose.COMPARE
        field = "evaluation.judge" if compares else self.config.judge_settings(role).template
        if checkpoint is None and not name and self.config.model_of(role).entry.verifies:
            label = self._name_of(role)
            return judge_rows.verifier_judge(self.attempt, self.run, name=label, purpose=purpose, version=VERSION)
        name = name or (checkpoint.name if checkpoint else self._name_of(role))
        prompt = self.judge_of(field)
        return judge_rows.model_judge(self.attempt, self.run, prompt, name=name, checkpoint=checkpoint, purpose=purpose)

    def _name_of(self, role: ModelRole) -> str:
        """Return the name of a section's model; one that is also the teacher, with other settings, has its own."""
        label = self.config.model_of(role).label
        same = role != "teacher" and self.config.teacher.exists and label == self.teacher_name
        return f"{label} ({role.replace('_', ' ')})" if same else label
