"""Runs told as far as a test needs them: rows as the loop would have written them, through the models."""

from __future__ import annotations

import math
import random
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from alignment_app.models import (
    Checkpoint,
    Comparison,
    Dataset,
    DatasetSnapshot,
    IterationPrompt,
    Judgement,
    PairMargin,
    PreferencePair,
    Prompt,
    Response,
    Run,
    SnapshotItem,
    Stage,
    StageAttempt,
)
from alignment_app.models.payloads import MachinePayload, MetricsPayload, SamplePayload
from alignment_app.services import events, runs
from tests.support.judge_rows import checkpoint_judge, evaluated, teacher_judge
from training.config import RunConfig
from training.domain.margins import MeasuredPair, margin_figures
from training.domain.score_rule import ScoreRule

PROMPTS = (
    "Name three plants that keep a room's air fresh and say how often each needs water.",
    "What is the capital of Norway?",
    "Put these words in alphabetical order: pear, apple, fig.",
    "Explain in one sentence why the sky is blue.",
    "Which is heavier, a kilogram of lead or a kilogram of feathers?",
    "Write the plural of the word goose.",
)
ANSWERS = (
    "Snake plant (every 2 to 3 weeks), spider plant (weekly) and peace lily (when the top of the soil is dry).",
    "Plants clean the air. You can have many of them, such as ferns, and they need water regularly.",
    "1. Aloe 2. Ivy 3. Bamboo",
    "What is a plant? A plant is a living thing. Question: what are the parts of a plant?",
)
BASE: dict[str, Any] = {
    "name": "miniature, teacher reward",
    "paradigm": "teacher_reward",
    "iterations": 2,
    "student": {"model": "miniature/base", "max_length": 512},
    "teacher": {"kind": "oracle"},
    "sft": {"datasets": ["story-ift"]},
    "prompts": {"dataset": "story-prompts", "count": 40},
    "judging": {"max_new_tokens": 64},
    "candidates": {"max_new_tokens": 48},
    "training": {"loss": "sr_dpo", "lam": 0.3},
    "evaluation": {"dataset": "story-test", "count": 20, "max_new_tokens": 48},
}


def data_sets(size: int = 40) -> None:
    """The data sets that :data:`BASE` names."""
    for name, kind in (
        ("story-ift", Dataset.Kind.DEMONSTRATIONS),
        ("story-prompts", Dataset.Kind.PROMPTS),
        ("story-test", Dataset.Kind.PROMPTS),
    ):
        dataset, is_new = Dataset.objects.get_or_create(name=name, defaults={"kind": kind})
        if not is_new:
            continue
        for place in range(size):
            text = PROMPTS[place % len(PROMPTS)] + (f" ({place})" if place >= len(PROMPTS) else "")
            prompt = Prompt.objects.create(
                dataset=dataset,
                source=Prompt.Source.IMPORTED,
                messages=[{"role": "user", "content": text}],
                text=text,
                content_hash=f"{name}-{place}",
                position=place,
            )
            if kind == Dataset.Kind.DEMONSTRATIONS:
                Response.objects.create(
                    prompt=prompt, source="imported", purpose="target", index=0, text=ANSWERS[place % len(ANSWERS)]
                )


def config(**changes: Any) -> RunConfig:
    """:data:`BASE` with top-level fields changed."""
    return RunConfig.parse({**BASE, **changes})


class Story:
    """Tells a run stage by stage."""

    def __init__(self, run: Run, start: datetime | None = None, seed: int = 0) -> None:
        self.run = run
        self.clock = start or timezone.now() - timedelta(hours=1)
        self.random = random.Random(seed)
        Run.objects.filter(pk=run.pk).update(
            created_at=self.clock - timedelta(seconds=9), started_at=self.clock, status=Run.Status.RUNNING
        )
        run.refresh_from_db()

    @classmethod
    def launch(cls, *, user: Any = None, start: datetime | None = None, preset: str = "", **changes: Any) -> Story:
        data_sets()
        return cls(runs.launch(config(**changes), user=user, preset=preset), start)

    def until(self, iteration: int, kind: str, share: float = 1.0) -> Story:
        """Every stage up to this one is done; this one to ``share`` of its rows."""
        for stage in Stage.objects.filter(iteration__run=self.run).select_related("iteration"):
            if stage.status in (Stage.Status.SKIPPED, Stage.Status.DONE):
                continue
            is_last = (stage.iteration.number, stage.kind) == (iteration, kind)
            self._tell(stage, share if is_last else 1.0)
            if is_last:
                break
        return self

    def to_the_end(self) -> Story:
        last = Stage.objects.filter(iteration__run=self.run).exclude(status="skipped").last()
        assert last is not None
        self.until(last.iteration.number, last.kind)
        self.state(Run.Status.FINISHED, "Every stage is done.", finished_at=self.clock)
        return self

    def state(self, status: str, reason: str, **more: Any) -> Story:
        """The run's state, with its event."""
        Run.objects.filter(pk=self.run.pk).update(status=status, status_reason=reason, **more)
        self.run.refresh_from_db()
        events.run_changed(self.run)
        self.run.refresh_from_db()
        return self

    def break_off(self, status: str, reason: str, traceback: str = "") -> Story:
        """The stage at work stops, and the run with it."""
        stage = Stage.objects.filter(iteration__run=self.run).exclude(status__in=("done", "skipped")).first()
        assert stage is not None
        stage.status, stage.reason = Stage.Status.STOPPED, reason
        stage.save()
        StageAttempt.objects.create(
            stage=stage, number=1, worker="worker-1", host="laptop", pid=4242, lease_expires_at=self.clock,
            finished_at=self.clock, outcome=status if status in ("failed", "crashed") else "paused", reason=reason,
            traceback=traceback,
        )  # fmt: skip
        return self.state(status, reason)

    def _tell(self, stage: Stage, share: float) -> None:
        stage.started_at = stage.started_at or self.clock
        total, unit, seconds = self._size(stage.kind)
        stage.total, stage.unit = total, unit
        stage.done = round(total * share)
        stage.rate = total / seconds
        self.clock += timedelta(seconds=seconds * share)
        if stage.iteration.started_at is None:
            stage.iteration.started_at = stage.started_at
            stage.iteration.save(update_fields=["started_at"])
        getattr(self, f"_{stage.kind}")(stage)
        stage.status = Stage.Status.DONE if share == 1 else Stage.Status.RUNNING
        stage.finished_at = self.clock if share == 1 else None
        stage.save()
        events.stage_changed(stage)
        if share == 1:
            events.log(self.run.pk, f"{stage.get_kind_display()} of M{stage.iteration.number + 1} done: {total} {unit}")
        self.run.refresh_from_db()

    def _size(self, kind: str) -> tuple[int, str, float]:
        prompts = self.run.config["prompts"]["count"]
        return {
            "dataset": (prompts, "rows", 1), "sft": (120, "steps", 60), "evaluation": (20, "answers", 30),
            "prompts": (prompts, "prompts", 1), "responses": (prompts * 4, "responses", 50),
            "demonstrations": (prompts, "responses", 20), "judgements": (prompts * 4, "responses", 70),
            "pairs": (prompts, "prompts", 1), "review": (prompts, "pairs", 600), "training": (60, "steps", 80),
        }[kind]  # fmt: skip

    def _prompts(self, stage: Stage) -> None:
        chosen = Prompt.objects.filter(dataset__name="story-prompts")[: stage.done]
        IterationPrompt.objects.bulk_create(
            IterationPrompt(iteration=stage.iteration, prompt=prompt, position=place)
            for place, prompt in enumerate(chosen)
        )

    def _used(self, stage: Stage) -> list[Prompt]:
        return [use.prompt for use in stage.iteration.iteration_prompts.select_related("prompt")]

    def _responses(self, stage: Stage) -> None:
        rows = [(prompt, index) for prompt in self._used(stage) for index in range(4)][: stage.done]
        Response.objects.bulk_create(
            Response(
                prompt=prompt, iteration=stage.iteration, source="student", purpose="candidate", index=index,
                text=ANSWERS[index], seed=index, token_count=len(ANSWERS[index]) // 4,
                finish_reason="length" if index == 3 else "stop",
            )
            for prompt, index in rows
        )  # fmt: skip
        if rows:
            events.append(
                self.run.pk,
                SamplePayload(iteration=stage.iteration.number, prompt=rows[-1][0].pk, stage="responses"),
            )

    def _judgements(self, stage: Stage) -> None:
        rows = list(Response.objects.filter(iteration=stage.iteration, purpose="candidate").order_by("prompt", "index"))
        source = "self" if self.run.paradigm == "self_reward" else "teacher"
        start = self.run.checkpoints.get(number=stage.iteration.number)
        judge = teacher_judge(self.run) if source == "teacher" else checkpoint_judge(start)
        stage.iteration.score_rule = ScoreRule(source, judge.pk).as_data()
        stage.iteration.save()
        unparsed = 0
        for row in rows[: stage.done]:
            mean = (4.67, 2.5, 2.0, 0.5)[row.index]
            lost = row.index == 2 and row.prompt_id % 5 == 0
            unparsed += lost
            Judgement.objects.create(
                response=row, iteration=stage.iteration, source=source, judge=judge,
                samples=[
                    {"raw": "I cannot say." if lost else f"Answers what was asked.\nScore: {round(mean)}",
                     "score": None if lost else float(round(mean)), "seed": seed}
                    for seed in range(3)
                ],
                sample_count=3, parsed_count=0 if lost else 3,
                score=None if lost else mean, spread=None if lost else 0.3, rationale="Answers what was asked.",
            )  # fmt: skip
        judged = max(1, len(rows[: stage.done]))
        stage.progress = {"parse_rate": 1 - unparsed / judged, "unparsed": unparsed}
        stage.result = stage.progress | {"mean": 2.6, "spread": 0.31}
        if rows[: stage.done]:
            last = rows[stage.done - 1].prompt_id
            events.append(self.run.pk, SamplePayload(iteration=stage.iteration.number, prompt=last, stage="judgements"))

    def _demonstrations(self, stage: Stage) -> None:
        Response.objects.bulk_create(
            Response(
                prompt=prompt, iteration=stage.iteration, source="teacher", purpose="demonstration", index=0,
                text=ANSWERS[0], author="oracle", finish_reason="stop",
            )
            for prompt in self._used(stage)[: stage.done]
        )  # fmt: skip

    def _pairs(self, stage: Stage) -> None:
        made = none = 0
        for use in stage.iteration.iteration_prompts.select_related("prompt")[: stage.done]:
            rows = list(Response.objects.filter(iteration=stage.iteration, prompt=use.prompt).order_by("index"))
            if use.position % 6 == 5 or len(rows) < 4:
                use.outcome, none = "All candidates have the same score.", none + 1
            else:
                use.outcome, made = "Highest score 4.67 against lowest 0.5.", made + 1
                PreferencePair.objects.create(
                    prompt=use.prompt, iteration=stage.iteration, chosen=rows[0], rejected=rows[3], chosen_score=4.67,
                    rejected_score=0.5, margin=4.17, origin="teacher", reason=use.outcome,
                )  # fmt: skip
            use.save(update_fields=["outcome"])
        stage.result = {"pairs": made, "none": none, "reasons": {"All candidates have the same score.": none}}

    def _review(self, stage: Stage) -> None:
        stage.reason = "Let through by admin."

    def _dataset(self, stage: Stage) -> None:
        is_first = stage.iteration.number == 0
        pairs = list(stage.iteration.pairs.all())
        snapshot = DatasetSnapshot.objects.create(
            iteration=stage.iteration, kind="sft" if is_first else "preference", path="snapshots/story.jsonl",
            content_hash=f"a41f{stage.iteration.pk:056d}0009", row_count=stage.total,
        )  # fmt: skip
        targets = list(Response.objects.filter(purpose="target")[: stage.total]) if is_first else []
        SnapshotItem.objects.bulk_create(
            [SnapshotItem(snapshot=snapshot, position=place, pair=pair) for place, pair in enumerate(pairs)]
            + [SnapshotItem(snapshot=snapshot, position=place, response=row) for place, row in enumerate(targets)]
        )
        stage.total = stage.done = len(pairs) or len(targets)
        stage.result = {"hash": snapshot.content_hash, "rows": stage.total}

    def _train(self, stage: Stage, points: list[dict[str, float]], kind: str) -> None:
        number = stage.iteration.number
        for start in range(0, len(points), 10):
            events.append(
                self.run.pk,
                MetricsPayload(iteration=number, stage=stage.kind, points=points[start : start + 10]),
            )
        stage.progress = {"loss": points[-1]["loss"]} if points else {}
        stage.result = stage.progress | {"steps": len(points)} if points else {}
        if stage.done == stage.total:
            Checkpoint.objects.create(
                run=self.run, iteration=stage.iteration, number=number + 1, kind=kind, config_hash=self.run.config_hash,
                parent=self.run.checkpoints.get(number=number), location=f"checkpoints/{self.run.pk}/M{number + 1}",
                files=[{"name": "model.safetensors", "size": 3_600_000, "sha256": "0" * 64}],
                metrics=stage.result, steps=stage.total, train_seconds=60,
            )  # fmt: skip

    def _sft(self, stage: Stage) -> None:
        noise = self.random.uniform
        self._train(
            stage,
            [
                {"step": step, "epoch": step / 120, "loss": 0.9 + 2.4 * math.exp(-step / 25) + noise(-0.06, 0.06),
                 "learning_rate": 1e-3 * (1 - step / 130), "grad_norm": 1 + noise(-0.3, 0.3)}
                for step in range(1, stage.done + 1)
            ],
            "sft",
        )  # fmt: skip

    def _training(self, stage: Stage) -> None:
        noise, points = self.random.uniform, []
        for step in range(1, stage.done + 1):
            chosen = 0.35 * (1 - math.exp(-step / 30)) + noise(-0.04, 0.04)
            rejected = -0.7 * (1 - math.exp(-step / 25)) + noise(-0.05, 0.05)
            points.append({
                "step": step, "epoch": step / 60, "loss": 0.69 - 0.25 * (1 - math.exp(-step / 22)) + noise(-0.02, 0.02),
                "chosen_reward": chosen, "rejected_reward": rejected, "margin": chosen - rejected,
                "accuracy": min(1.0, 0.52 + 0.35 * (1 - math.exp(-step / 15)) + noise(-0.05, 0.05)),
                "augmented_margin": 0.9 * (chosen - rejected) + noise(-0.05, 0.05), "augmented_accuracy": 0.6,
                "kl": -5 * (chosen + rejected), "learning_rate": 1e-4 * (1 - step / 70), "grad_norm": 2 + noise(-1, 1),
                "tokens_per_second": 1800 + noise(-200, 200), "memory_bytes": 2.1e9, "seconds": 1.5 * step,
                "tokens": 2700 * step, "total_steps": stage.total,
            })  # fmt: skip
        self._train(stage, points, "preference")
        self._margins(stage)

    def _margins(self, stage: Stage) -> None:
        checkpoint = Checkpoint.objects.filter(iteration=stage.iteration).first()
        if checkpoint is None:
            return
        measured = [
            (pair.pk, MeasuredPair(self.random.gauss(0.5, 2), self.random.gauss(-0.5, 2), 0.3, pair.margin))
            for pair in stage.iteration.pairs.all()
        ]
        PairMargin.objects.bulk_create(
            PairMargin(
                checkpoint=checkpoint, pair_id=pair_id, part="training", chosen_log_ratio=pair.chosen_log_ratio,
                rejected_log_ratio=pair.rejected_log_ratio, margin=pair.margin,
                augmented_margin=pair.augmented_margin, score_difference=pair.score_difference,
            )
            for pair_id, pair in measured
        )  # fmt: skip
        checkpoint.metrics |= {"margins": {"training": asdict(margin_figures([pair for _, pair in measured]))}}
        checkpoint.save()

    def _evaluation(self, stage: Stage) -> None:
        checkpoint = Checkpoint.objects.filter(iteration=stage.iteration).first()
        if checkpoint is None or stage.done < stage.total:
            return
        number = checkpoint.number
        against = self.run.checkpoints.filter(number=number - 1).first() if number > 1 else None
        metrics: dict[str, Any] = {
            "mean_score": (2.61, 3.34, 3.58)[number - 1], "n": stage.total, "right_answers": (11, 14, 15)[number - 1],
            "judge_parse_rate": 0.987, "judge_pairwise_accuracy": (0.82, 0.8, 0.78)[number - 1], "judge_pairs": 340,
            "response_tokens_mean": (18.2, 16.4, 15.9)[number - 1],
        }  # fmt: skip
        if against:
            metrics |= {"win": 9, "tie": 7, "lose": 4, "win_rate": 0.45, "win_low": 0.26, "win_high": 0.66}
        evaluation = evaluated(checkpoint, against=against, prompt_count=stage.total, metrics=metrics)
        stage.result = {"metrics": metrics}
        prompts = list(Prompt.objects.filter(dataset__name="story-test")[: stage.total])
        for place, prompt in enumerate(prompts):
            answer = Response.objects.create(
                prompt=prompt, iteration=stage.iteration, checkpoint=checkpoint, source="student", purpose="evaluation",
                index=0, text=ANSWERS[place % 4], finish_reason="stop",
            )  # fmt: skip
            older = Response.objects.filter(prompt=prompt, purpose="evaluation", checkpoint=against).first()
            if against and older:
                outcome = "win" if place < 9 else "tie" if place < 16 else "lose"
                verdicts = {"win": ("first", "second"), "tie": ("first", "first"), "lose": ("second", "first")}
                first, second = verdicts[outcome]
                Comparison.objects.create(
                    evaluation=evaluation, prompt=prompt, response=answer, against=older, verdict_first=first,
                    verdict_second=second, outcome=outcome,
                )  # fmt: skip

    def gauge(self) -> Story:
        """The machine, as a worker sees it."""
        events.append(
            self.run.pk,
            MachinePayload(cpu=143.0 / 2, memory=3.1e9, memory_total=24e9, disk_free=41e9, gpus=[]),
        )
        self.run.refresh_from_db()
        return self
