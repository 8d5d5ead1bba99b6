"""What a service says when it will not do something."""

from __future__ import annotations


class Refused(Exception):
    """A request that the present state does not allow. ``message`` says what to do instead."""

    def __init__(self, code: str, message: str, *, status: int = 409) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class LeaseLost(Exception):
    """This attempt may write nothing more: its lease ran out, or its run was taken from it."""
