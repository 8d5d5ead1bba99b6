"""Signals to apps that this package does not import."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

#: Sent every few seconds, and with ``iteration`` before its review ends. Receivers update the counts of reviewed pairs
#: in waiting stages. Saving an answer does not update the run, so that annotators do not wait for its row lock.
review_counts_due: Final = Signal()
