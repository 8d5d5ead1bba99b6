"""One line that says how far a long step has come: it rewrites itself on a terminal, and is short in a log."""

from __future__ import annotations

import shutil
import time
from typing import Final, TextIO

BAR: Final = 24
TERMINAL_SECONDS: Final = 0.1
LOG_SECONDS: Final = 20.0


class ProgressLine:
    """Call it with (step, done, total) as often as you like; ``end`` closes the line."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.terminal = out.isatty()
        self._step = ""
        self._began = self._shown = time.monotonic()

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step != self._step:
            self.end()
            self._step, self._began, self._shown = step, now, 0.0
        if now - self._shown < (TERMINAL_SECONDS if self.terminal else LOG_SECONDS) and done != total:
            return
        self._shown = now
        self._write(self._line(done, total, now))

    def end(self) -> None:
        """Leave the last state standing."""
        if self._step and self.terminal:
            self.out.write("\n")
            self.out.flush()
        self._step = ""

    def _line(self, done: int, total: int, now: float) -> str:
        seconds = now - self._began
        clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
        if not total:
            return f"  {self._step:<34} {clock}"
        share = min(1.0, done / total)
        bar = "█" * round(share * BAR) + "░" * (BAR - round(share * BAR))
        left = seconds * (1 - share) / share if share > 0.02 and share < 1 else 0
        rest = f", {int(left) // 60}:{int(left) % 60:02d} left" if left else ""
        return f"  {self._step:<34} {bar} {share:4.0%} {clock}{rest}"

    def _write(self, line: str) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns
            self.out.write(f"\r\x1b[K{line[: width - 1]}")
        else:
            self.out.write(line + "\n")
        self.out.flush()
