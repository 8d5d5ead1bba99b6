"""The models of the review. Import them from here."""

from labeling.models.queues import GuidelineVersion, Queue
from labeling.models.work import Assignment, Review, Task

__all__ = ["Assignment", "GuidelineVersion", "Queue", "Review", "Task"]
