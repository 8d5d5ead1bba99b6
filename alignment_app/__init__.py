"""The record: what was asked and what happened. The Django project and the dashboard."""
