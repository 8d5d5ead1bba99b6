"""Exceptions of the service layer."""

from __future__ import annotations


class Refused(Exception):
    """The request is not allowed in the current state. ``message`` says what to do instead."""

    def __init__(self, code: str, message: str, *, status: int = 409) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class LeaseLost(Exception):
    """The attempt may not write any more: its lease expired, or its run was taken over."""
