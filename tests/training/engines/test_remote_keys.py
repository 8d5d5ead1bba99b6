"""Keys of remote engines: refused, missing, and never shown."""

from __future__ import annotations

import json

import pytest

from tests.support.engines import KEY, SAMPLING, Serve, gemini, openai, requests
from tests.support.providers import (
    as_json,
    candidate,
    chat,
)
from training.engines import EngineSpec, create_engine
from training.engines.base import EngineError


@pytest.mark.parametrize(("status", "said"), [(401, "OPENAI_API_KEY"), (404, "Check name and address")])
def test_a_bad_key_or_model_ends_the_generation_with_the_remedy(serve: Serve, status: int, said: str) -> None:
    engine = openai(serve(lambda *_: as_json({"error": {"message": "no"}}, status)))
    with pytest.raises(EngineError, match=said):
        list(engine.generate(requests("a", "b"), SAMPLING))
    engine.close()


def test_a_key_is_never_part_of_an_error_or_an_answer(serve: Serve) -> None:
    plain = KEY.reveal()
    repeats = {
        "refused": as_json({"error": {"message": f"API key not valid: {plain}", "code": 400}}, 400),
        "busy": as_json({"error": {"message": f"slow down, {plain}", "code": 429}}, 429),
        "wrong": as_json({"error": {"message": f"odd header {plain}", "code": 422}}, 422),
        "malformed": (200, {}, json.dumps({"candidates": plain, "choices": plain}).encode()),
    }
    for engine_of, good in ((gemini, candidate), (openai, chat)):
        for text in (*repeats, "good"):
            server = serve(lambda text, _, good=good: repeats.get(text) or good(f"you sent {plain}"))
            engine = engine_of(server, key=KEY) if engine_of is openai else engine_of(server)
            said = ""
            try:
                for completion in engine.generate(requests(text), SAMPLING):
                    said += completion.text + completion.error
            except EngineError as error:
                said += str(error)
            assert said
            assert plain not in said
            assert any(plain in value for value in server.headers[0].values())
            engine.close()
    assert plain not in f"{KEY} {KEY!r} {EngineSpec('gemini', 'x', key=KEY)}"


def test_a_key_does_not_follow_a_redirect(serve: Serve) -> None:
    elsewhere = serve(lambda text, _: chat("fine"))
    moved = (307, {"location": elsewhere.address + "/v1/chat/completions"}, b"")
    for engine in (gemini(serve(lambda *_: moved)), openai(serve(lambda *_: moved), key=KEY)):
        try:
            found = list(engine.generate(requests("a"), SAMPLING))
        except EngineError:
            found = []
        assert all(completion.finish_reason == "error" for completion in found)
        engine.close()
    assert elsewhere.headers == []


def test_gemini_without_a_key_names_the_remedy() -> None:
    with pytest.raises(EngineError, match="GEMINI_API_KEY"):
        create_engine(EngineSpec("gemini", "gemini-x"))
