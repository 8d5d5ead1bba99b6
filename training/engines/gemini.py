"""Gemini as a teacher, with Google's ``google-genai`` SDK."""

from __future__ import annotations

from typing import Any

from training.domain.rows import FinishReason
from training.domain.secret import Secret
from training.domain.spending import Usage
from training.engines.base import Completion, EngineError, Request, Sampling
from training.engines.remote import Answer, Refused, RemoteEngine, TryAgain, retry_after_seconds

#: Values of ``teacher.safety`` and Gemini's names for them. The setting applies to all categories.
THRESHOLDS = {
    "off": "OFF",
    "block_none": "BLOCK_NONE",
    "block_only_high": "BLOCK_ONLY_HIGH",
    "block_medium_and_above": "BLOCK_MEDIUM_AND_ABOVE",
    "block_low_and_above": "BLOCK_LOW_AND_ABOVE",
}
CATEGORIES = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
)


class GeminiEngine(RemoteEngine):
    """Generates content with a Gemini model, selected by name."""

    name = "gemini"

    def __init__(
        self,
        model: str,
        *,
        key: Secret | None = None,
        base_url: str = "",
        safety: str = "",
        timeout: float = 120,
        **common: Any,
    ) -> None:
        super().__init__(key=key, **common)
        from google import genai
        from google.genai import types

        if key is None:
            raise EngineError(
                "Gemini needs a key: store one under Keys and name it in teacher.key, or set "
                "GEMINI_API_KEY in the worker's environment. Then resume the run."
            )
        self.model = model
        self._types = types
        self._safety = [
            types.SafetySetting(
                category=types.HarmCategory(category), threshold=types.HarmBlockThreshold(THRESHOLDS[safety])
            )
            for category in (CATEGORIES if safety else ())
        ]
        self._client = genai.Client(
            api_key=key.reveal(),
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=base_url or None,
                timeout=int(timeout * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),  # RemoteEngine retries and counts failures
                client_args={"follow_redirects": False},  # never send the key to another host
            ),
        )

    @classmethod
    def count_models(cls, key: Secret, base_url: str, timeout: float) -> int:
        """See :meth:`RemoteEngine.count_models`. Counts the first page only, at most 100 models."""
        from google import genai
        from google.genai import types

        options = types.HttpOptions(
            base_url=base_url,
            timeout=int(timeout * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
            client_args={"follow_redirects": False},
        )
        client = genai.Client(api_key=key.reveal(), vertexai=False, http_options=options)
        try:
            return len(client.models.list(config={"page_size": 100}).page)
        finally:
            client.close()

    def ask(self, request: Request, sampling: Sampling) -> Answer:
        """Request one answer."""
        import httpx2  # google-genai's HTTP client
        from google.genai import errors

        types = self._types
        messages = self.messages(request)
        system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
        contents: list[Any] = [
            types.Content(
                role="model" if message["role"] == "assistant" else "user", parts=[types.Part(text=message["content"])]
            )
            for message in messages
            if message["role"] != "system"
        ]
        settings = types.GenerateContentConfig(
            system_instruction=system or None,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_output_tokens=self.limit(sampling),
            seed=request.seed % 2**31,
            safety_settings=self._safety or None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        try:
            answer = self._client.models.generate_content(model=self.model, contents=contents, config=settings)
        except errors.APIError as error:
            raise self._error_of(error) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TryAgain(f"Gemini cannot be reached: {type(error).__name__}") from None
        except (httpx2.TransportError, OSError) as error:
            raise TryAgain(f"no answer from Gemini: {type(error).__name__}", outcome="lost") from None
        except ValueError as error:  # a truncated or malformed body
            raise TryAgain(f"the answer could not be read: {str(error)[:200]}", outcome="lost") from None
        return self._answer(request, answer, sampling)

    def _error_of(self, error: Any) -> Exception:
        text = str(error.message or error.status or "")[:300]
        if error.code in (401, 403) or (error.code == 400 and "API key" in text):
            return EngineError(
                f"Gemini refused the key ({error.code}): {text}. Have an admin replace it under Keys, or set "
                "GEMINI_API_KEY to a valid key for the worker."
            )
        if error.code == 404:
            return EngineError(f"Gemini has no model {self.model!r}: {text}. Check the teacher's model name.")
        if error.code in (408, 409, 429) or (error.code or 500) >= 500:
            return TryAgain(f"status {error.code}: {text}", _retry_after(error))
        return Refused(f"status {error.code}: {text}")

    def _answer(self, request: Request, answer: Any, sampling: Sampling) -> Answer:
        used = _usage(answer.usage_metadata)
        if not answer.candidates:
            blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
            if blocked:
                reason = f"Gemini blocked the prompt: {getattr(blocked, 'value', blocked)}"
                raise TryAgain(reason, outcome="blocked", usage=used)
            raise TryAgain("the answer contained no candidate", outcome="empty", usage=used)
        candidate = answer.candidates[0]
        reason = getattr(candidate.finish_reason, "value", candidate.finish_reason) or "STOP"
        if reason not in ("STOP", "MAX_TOKENS"):
            raise TryAgain(f"Gemini withheld the answer: {reason}", outcome="blocked", usage=used)
        parts = candidate.content.parts if candidate.content and candidate.content.parts else []
        text = "".join(part.text for part in parts if part.text and not part.thought)
        if not text and reason == "MAX_TOKENS":
            raise self.empty_at_limit(sampling, reason, used)
        if not text:
            raise TryAgain("the answer was empty", outcome="empty", usage=used)
        count = (answer.usage_metadata.candidates_token_count if used else None) or len(text.split())
        ended: FinishReason = "length" if reason == "MAX_TOKENS" else "stop"
        return Answer(Completion(request.key, text, count, ended, request.seed), used)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _usage(reported: Any) -> Usage | None:
    """Return the token counts that Gemini reports; thoughts are billed like, and added to, the answer."""
    if reported is None or reported.prompt_token_count is None:
        return None
    prompt = reported.prompt_token_count + (reported.tool_use_prompt_token_count or 0)
    return Usage(prompt, (reported.candidates_token_count or 0) + (reported.thoughts_token_count or 0))


def _retry_after(error: Any) -> float | None:
    """Return the requested wait in seconds, from the header or the RetryInfo detail ("12s")."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    seconds = retry_after_seconds(headers.get("retry-after"))
    if seconds is None and isinstance(error.details, dict):
        inner = error.details.get("error", {})
        for detail in inner.get("details", []) if isinstance(inner, dict) else []:
            stated = detail.get("retryDelay") if isinstance(detail, dict) else None
            seconds = seconds if seconds is not None else retry_after_seconds(stated)
    return seconds
