"""Judges for rows that a test writes itself."""

from __future__ import annotations

from alignment_app.models import Checkpoint, Evaluation, Judge, Run
from alignment_app.services.judge_rows import judge_for
from training.judges import SCORING


def checkpoint_judge(checkpoint: Checkpoint) -> Judge:
    """A checkpoint of a run as the judge of candidates, as the run's own jobs name it."""
    return judge_for(
        Judge.Kind.MODEL, checkpoint.name, run=checkpoint.run, checkpoint=checkpoint, template=SCORING,
        template_version="1",
    )  # fmt: skip


def teacher_judge(run: Run, name: str = "oracle", purpose: str = Judge.Purpose.SCORE) -> Judge:
    """A run's teacher."""
    return judge_for(Judge.Kind.MODEL, name, run=run, purpose=purpose, template=SCORING, template_version="1")


def evaluated(checkpoint: Checkpoint, **fields: object) -> Evaluation:
    """An evaluation of a checkpoint in which the teacher compares."""
    judge = teacher_judge(checkpoint.run, purpose=Judge.Purpose.COMPARE)
    return Evaluation.objects.create(checkpoint=checkpoint, judge=judge, **fields)
