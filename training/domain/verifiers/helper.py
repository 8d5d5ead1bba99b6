"""Time-limited work in a helper process: regular expressions, which may take forever, and users' functions.

The helper process is started at the first request, and ended and started again after one that exceeds its limit.
It is this module, run as a program: it reads a JSON object per line and writes one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import select
import subprocess
import sys
import threading
from importlib import import_module
from typing import Any, Final

TIME_LIMIT_SECONDS: Final = 1.0
FUNCTION_LIMIT_SECONDS: Final = 30.0
#: Environment variable of the worker: modules, separated by commas, whose functions checks may call.
MODULES_VARIABLE: Final = "PLUMBLINE_VERIFIER_MODULES"
#: The helper gets these variables only, so that a user's function sees no key.
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", MODULES_VARIABLE)


class TimedOut(Exception):
    """The request took longer than its limit."""


class HelperError(Exception):
    """The request failed. The message gives the reason."""


class _Helper:
    """The helper process. One request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """Send a request and return the answer. Raises :class:`TimedOut` or :class:`HelperError`."""
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                ready, _, _ = select.select([process.stdout], [], [], limit)
                line = process.stdout.readline() if ready else None
            except OSError:
                line = b""
            if line is None:
                self._end()
                raise TimedOut
            if not line:
                self._end()
                raise HelperError("the helper process ended")
        answer: dict[str, Any] = json.loads(line)
        if error := answer.get("error"):
            raise HelperError(error)
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        # A forked job process must not share its parent's helper.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            self._owner = os.getpid()
            self._wait_until_ready(self._process)
        return self._process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the first line, so that the start does not count towards a time limit."""
        assert process.stdout is not None
        if not process.stdout.readline():
            raise HelperError("the helper process did not start")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None

    def close(self) -> None:
        """End the process, at exit."""
        if self._owner == os.getpid():
            self._end()


_HELPER: Final = _Helper()
atexit.register(_HELPER.close)


def search(pattern: str, text: str, *, whole: bool = False, ignore_case: bool = False) -> bool:
    """Return whether a regular expression matches somewhere in the text, or the ``whole`` text.

    Raises :class:`TimedOut` after :data:`TIME_LIMIT_SECONDS`.
    """
    request = {"pattern": pattern, "text": text, "whole": whole, "ignore_case": ignore_case}
    return bool(_HELPER.ask(request, TIME_LIMIT_SECONDS)["found"])


def call(name: str, prompt: str, response: str, arguments: dict[str, Any]) -> tuple[bool, str]:
    """Call ``name(prompt, response, **arguments)``, which returns whether it passed, or (passed, reason).

    Raises :class:`TimedOut` after :data:`FUNCTION_LIMIT_SECONDS`, and :class:`HelperError` for a function that is not
    allowed, does not exist, raises, or returns something else.
    """
    module = name.rpartition(".")[0]
    allowed = [one.strip() for one in os.environ.get(MODULES_VARIABLE, "").split(",") if one.strip()]
    if module not in allowed:
        raise HelperError(f"the module {module} is not in {MODULES_VARIABLE} of the worker")
    request = {"function": name, "prompt": prompt, "response": response, "arguments": arguments}
    answer = _HELPER.ask(request, FUNCTION_LIMIT_SECONDS)
    return bool(answer["passed"]), str(answer["reason"])[:400]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "pattern" in request:
        flags = re.DOTALL if request["whole"] else 0
        compiled = re.compile(request["pattern"], flags | (re.IGNORECASE if request["ignore_case"] else 0))
        text = request["text"]
        return {"found": bool(compiled.fullmatch(text.strip()) if request["whole"] else compiled.search(text))}
    module, _, attribute = request["function"].rpartition(".")
    result = getattr(import_module(module), attribute)(request["prompt"], request["response"], **request["arguments"])
    if isinstance(result, bool):
        return {"passed": result, "reason": ""}
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], bool) and isinstance(result[1], str):
        return {"passed": result[0], "reason": result[1]}
    return {"error": "it must return true or false, or a tuple of this and a reason"}


def _serve() -> None:
    """Answer the requests on standard input. A function's own output goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(b"{}\n")
    answers.flush()
    for line in sys.stdin.buffer:
        try:
            answer = _answer(json.loads(line))
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
