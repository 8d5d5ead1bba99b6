"""A server on this machine that speaks the wire protocols of Gemini and OpenAI, and misbehaves on purpose."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
#: Instead of an answer: the connection is cut, or stays open in silence; a pair sends half of an answer.
DROP, SILENCE = "drop", "silence"
Reply = Answer | str | tuple[str, Answer]


class Provider:
    """Answers the n-th request about a text as ``answer(text, n, body)`` says. Runs until :meth:`close`."""

    def __init__(self, answer: Callable[[str, int, dict[str, Any]], Reply]) -> None:
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.running = self.most_at_once = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """The list of models, in both protocols."""
                with provider.lock:
                    provider.headers.append({name.lower(): value for name, value in self.headers.items()})
                models = {"models": [{"name": "models/m"}], "object": "list", "data": [{"id": "m", "object": "model"}]}
                self.send(as_json(models))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                text = text_of(body)
                with provider.lock:
                    same = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
                    provider.seen[text] += 1
                    provider.seen[same] += 1
                    provider.bodies.append(body)
                    provider.headers.append({name.lower(): value for name, value in self.headers.items()})
                    provider.times.append(time.monotonic())
                    number = provider.seen[same]
                    provider.running += 1
                    provider.most_at_once = max(provider.most_at_once, provider.running)
                reply = answer(text, number, body)
                if reply == SILENCE:
                    provider.over.wait(20)
                with provider.lock:
                    provider.running -= 1
                if isinstance(reply, str):
                    self.close_connection = True
                    self.connection.close()
                elif isinstance(reply[0], str):
                    self.send(reply[1], share=0.5)  # type: ignore[arg-type]
                else:
                    self.send(reply)  # type: ignore[arg-type]

            def send(self, reply: Answer, share: float = 1.0) -> None:
                status, headers, content = reply
                self.send_response(status)
                for name, value in ({"content-type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: int(len(content) * share)])
                if share < 1:
                    self.close_connection = True
                    self.connection.close()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """A client that has gone is no news."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(answer: Callable[[str, int, dict[str, Any]], Reply]) -> Iterator[Provider]:
    provider = Provider(answer)
    try:
        yield provider
    finally:
        provider.close()


@contextmanager
def serving_apart(answer: Callable[[str, int, dict[str, Any]], Reply]) -> Iterator[str]:
    """The address of a provider in a process of its own, so that it takes nobody's time but its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with serving(answer) as provider:
            os.write(writer, provider.address.encode())
            os.close(writer)
            signal.pause()
    os.close(writer)
    try:
        yield os.read(reader, 200).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def text_of(body: dict[str, Any]) -> str:
    """The last turn of a request, in either protocol."""
    if "messages" in body:
        return str(body["messages"][-1]["content"])
    return str(body["contents"][-1]["parts"][0]["text"])


def as_json(data: Any, status: int = 200, **headers: str) -> Answer:
    return status, headers, json.dumps(data).encode()


def chat(text: str, reason: str = "stop", *, prompt: int = 5, completion: int = 7) -> Answer:
    """An answer of an OpenAI-compatible server."""
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return as_json(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    )


def candidate(text: str, reason: str = "STOP", *, prompt: int = 5, completion: int = 4, thoughts: int = 3) -> Answer:
    """An answer of Gemini."""
    found = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": reason}
    usage = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": completion,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + completion + thoughts,
    }
    return as_json({"candidates": [found], "usageMetadata": usage})


def _status(code: int, name: str, **headers: str) -> Answer:
    return as_json({"error": {"message": name, "code": code, "status": name}}, code, **headers)


#: Each way to fail, in Gemini's protocol.
GEMINI_TROUBLES: dict[str, Reply] = {
    "429": _status(429, "RESOURCE_EXHAUSTED"),
    "429 with Retry-After": _status(429, "RESOURCE_EXHAUSTED", **{"retry-after": "0.2"}),
    "quota, with RetryInfo": as_json(
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "You exceeded your current quota.",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.2s"}],
            }
        },
        429,
    ),
    "500": _status(500, "INTERNAL"),
    "503": _status(503, "UNAVAILABLE"),
    "504": _status(504, "DEADLINE_EXCEEDED"),
    "no JSON": (502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"),
    "time-out": SILENCE,
    "dropped": DROP,
    "truncated": ("half", candidate("Score: 1")),
    "malformed": (200, {}, b'{"candidates": [{"content"'),
    "no candidate": as_json({"candidates": [], "usageMetadata": {"promptTokenCount": 5}}),
    "empty text": candidate(""),
    "no parts": as_json({"candidates": [{"finishReason": "STOP"}]}),
    "blocked prompt": as_json({"promptFeedback": {"blockReason": "SAFETY"}}),
    "blocked answer": candidate("", "SAFETY"),
    "recitation": candidate("", "RECITATION"),
}
#: And in OpenAI's.
OPENAI_TROUBLES: dict[str, Reply] = {
    "429": _status(429, "rate_limit_exceeded"),
    "429 with Retry-After": _status(429, "rate_limit_exceeded", **{"retry-after": "0.2"}),
    "500": _status(500, "server_error"),
    "503": _status(503, "unavailable"),
    "no JSON": (502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"),
    "time-out": SILENCE,
    "dropped": DROP,
    "truncated": ("half", chat("Score: 1")),
    "malformed": (200, {}, b'{"choices": [{"message"'),
    "another form": as_json({"choices": "many", "usage": 3}),
    "no choice": as_json({"choices": []}),
    "empty text": chat("", "tool_calls"),
    "filtered": chat("", "content_filter"),
}
