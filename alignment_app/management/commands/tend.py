"""``python manage.py tend``: alias of ``monitor``, for existing deployments."""

from __future__ import annotations

from alignment_app.management.commands.monitor import Command

__all__ = ["Command"]
