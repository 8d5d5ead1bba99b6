"""``python manage.py tend``: the former name of ``monitor``, for machines that are set up with it."""

from __future__ import annotations

from alignment_app.management.commands.monitor import Command

__all__ = ["Command"]
