"""What the record asks of apps that it does not know."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

#: Sent every few seconds while the system is up, and with ``iteration`` before its review ends: whoever knows how many
#: pairs people have settled brings the waiting stages up to date. Saving an answer tells no run, so that people who
#: work at once do not wait for each other at its row.
review_counts_due: Final = Signal()
