"""Conversations as plain text, as judges see them.

The format: each turn begins with its role and a colon (``System:``, ``User:``, ``Assistant:``), and an empty line
separates two turns. Figure 2 of Yuan et al. (2024) writes its single instruction in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from training.domain.rows import Message

ROLES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
_SEPARATOR: Final = "\n\n"


def user_turn(text: str) -> tuple[Message, ...]:
    """Return the conversation of one user turn."""
    return ({"role": "user", "content": text},)


def transcript(conversation: Sequence[Message]) -> str:
    """Return all turns with their roles.

    >>> transcript(user_turn("Why?"))
    'User: Why?'
    """
    return _SEPARATOR.join(f"{ROLES[turn['role']]}: {turn['content']}" for turn in conversation)


def instruction(conversation: Sequence[Message]) -> str:
    """Return the text that replaces ``<INSTRUCTION_HERE>``: a single turn as it is, several as a transcript."""
    return conversation[-1]["content"] if len(conversation) == 1 else transcript(conversation)


def last_user_turn(text: str) -> str:
    """Return the last user turn of a transcript, or the text itself if it is not one.

    A turn that contains an empty line and "User:" itself cannot be told from two turns.
    """
    return text.rpartition(f"{_SEPARATOR}{ROLES['user']}: ")[2]
