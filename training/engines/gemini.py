"""Gemini as a teacher, by Google's ``google-genai`` SDK."""

from __future__ import annotations

import os
from typing import Any

from training.domain.rows import FinishReason
from training.engines.base import Completion, EngineError, Request, Sampling
from training.engines.remote import Refused, RemoteEngine, TryAgain


class GeminiEngine(RemoteEngine):
    """Generated content by model name. The key comes from GEMINI_API_KEY (or GOOGLE_API_KEY)."""

    name = "gemini"

    def __init__(
        self, model: str, *, base_url: str = "", concurrency: int = 4, timeout: float = 120, **retries: Any
    ) -> None:
        super().__init__(concurrency=concurrency, **retries)
        from google import genai
        from google.genai import types

        key = os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY")
        if not key:
            raise EngineError(
                "Gemini needs a key: set GEMINI_API_KEY in the worker's environment, then resume the run."
            )
        self.model = model
        self._types = types
        self._client = genai.Client(
            api_key=key,
            http_options=types.HttpOptions(
                base_url=base_url or None,
                timeout=int(timeout * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),  # retried here, where every failure is counted
            ),
        )

    def ask(self, request: Request, sampling: Sampling) -> Completion:
        """One generated answer."""
        import httpx2  # what google-genai speaks HTTP with
        from google.genai import errors

        types = self._types
        system = "\n\n".join(m["content"] for m in request.messages if m["role"] == "system")
        contents: list[Any] = [
            types.Content(
                role="model" if message["role"] == "assistant" else "user", parts=[types.Part(text=message["content"])]
            )
            for message in request.messages
            if message["role"] != "system"
        ]
        settings = types.GenerateContentConfig(
            system_instruction=system or None,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_output_tokens=sampling.max_new_tokens,
            seed=request.seed % 2**31,
        )
        try:
            answer = self._client.models.generate_content(model=self.model, contents=contents, config=settings)
        except errors.APIError as error:
            raise self._judged(error) from None
        except (httpx2.TransportError, OSError) as error:
            raise TryAgain(f"no answer from Gemini: {type(error).__name__}") from None
        except ValueError as error:  # a truncated or malformed body
            raise TryAgain(f"the answer could not be read: {str(error)[:200]}") from None
        return self._completion(request, answer)

    def _judged(self, error: Any) -> Exception:
        text = str(error.message or error.status or "")[:300]
        if error.code in (401, 403) or (error.code == 400 and "API key" in text):
            return EngineError(f"Gemini refused the key ({error.code}): {text}. Set GEMINI_API_KEY to a valid key.")
        if error.code == 404:
            return EngineError(f"Gemini has no model {self.model!r}: {text}. Check the teacher's model name.")
        if error.code in (408, 409, 429) or (error.code or 500) >= 500:
            return TryAgain(f"status {error.code}: {text}", _retry_after(error))
        return Refused(f"status {error.code}: {text}")

    def _completion(self, request: Request, answer: Any) -> Completion:
        if not answer.candidates:
            blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
            if blocked:
                raise Refused(f"Gemini blocked the prompt: {getattr(blocked, 'value', blocked)}")
            raise TryAgain("the answer held no candidate", empty=True)
        candidate = answer.candidates[0]
        reason = getattr(candidate.finish_reason, "value", candidate.finish_reason) or "STOP"
        if reason not in ("STOP", "MAX_TOKENS"):
            raise Refused(f"Gemini withheld the answer: {reason}")
        parts = candidate.content.parts if candidate.content and candidate.content.parts else []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        if not text:
            raise TryAgain("the answer was empty", empty=True)
        usage = answer.usage_metadata
        count = (usage.candidates_token_count if usage else None) or len(text.split())
        ended: FinishReason = "length" if reason == "MAX_TOKENS" else "stop"
        return Completion(request.key, text, count, ended, request.seed)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _retry_after(error: Any) -> float | None:
    """Seconds that the provider asked to wait, from the header or from its RetryInfo detail ("12s")."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    stated = headers.get("retry-after")
    if not stated and isinstance(error.details, dict):
        for detail in error.details.get("error", {}).get("details", []):
            stated = stated or (detail.get("retryDelay") if isinstance(detail, dict) else None)
    try:
        return float(str(stated).removesuffix("s")) if stated else None
    except ValueError:
        return None
