from django.apps import AppConfig


class LabelingConfig(AppConfig):
    name = "labeling"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the queues as the source of human feedback for ``alignment_app``."""
        from alignment_app import human_feedback
        from labeling.selectors.feedback import QueueFeedback
        from labeling.services import waiting  # noqa: F401

        human_feedback.register(QueueFeedback())
