from django.apps import AppConfig


class AlignmentAppConfig(AppConfig):
    name = "alignment_app"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Alignment"
