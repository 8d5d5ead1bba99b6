"""All database models. Import models from this package."""

from alignment_app.models.artifacts import (
    Checkpoint,
    Comparison,
    DatasetSnapshot,
    Evaluation,
    PairMargin,
    SnapshotItem,
)
from alignment_app.models.data import (
    Dataset,
    IterationPrompt,
    Judgement,
    PreferencePair,
    Prompt,
    RejectedPrompt,
    Response,
)
from alignment_app.models.early_stopping import StepCheck, StepComparison
from alignment_app.models.events import RunEvent
from alignment_app.models.exports import Export
from alignment_app.models.judges import Judge, JudgeVersion
from alignment_app.models.leakage import LeakageReport
from alignment_app.models.people import OneTimePassword
from alignment_app.models.runs import Iteration, Run, Stage, StageAttempt
from alignment_app.models.spending import ProviderKey, TeacherCall
from alignment_app.models.studies import Study, StudyRun

__all__ = [
    "Checkpoint",
    "Comparison",
    "Dataset",
    "DatasetSnapshot",
    "Evaluation",
    "Export",
    "Iteration",
    "IterationPrompt",
    "Judge",
    "JudgeVersion",
    "Judgement",
    "LeakageReport",
    "OneTimePassword",
    "PairMargin",
    "PreferencePair",
    "Prompt",
    "ProviderKey",
    "RejectedPrompt",
    "Response",
    "Run",
    "RunEvent",
    "SnapshotItem",
    "Stage",
    "StageAttempt",
    "StepCheck",
    "StepComparison",
    "Study",
    "StudyRun",
    "TeacherCall",
]
