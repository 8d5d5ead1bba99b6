"""Any server that speaks the OpenAI chat protocol: a vLLM server, a hosted model, a proxy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from training.domain.rows import FinishReason
from training.engines.base import Completion, EngineError, Request, Sampling
from training.engines.remote import Refused, RemoteEngine, TryAgain

if TYPE_CHECKING:
    import openai

_RETRIED_STATUS = (408, 409, 425, 429)


class OpenAICompatibleEngine(RemoteEngine):
    """Chat completions by the ``openai`` SDK. The key comes from OPENAI_API_KEY; a local server may need none."""

    name = "openai_compatible"

    def __init__(
        self, model: str, base_url: str, *, concurrency: int = 4, timeout: float = 120, **retries: Any
    ) -> None:
        super().__init__(concurrency=concurrency, **retries)
        import openai

        self.model = model
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "no-key-set",
            timeout=timeout,
            max_retries=0,  # retried here, where Retry-After is honoured and every failure is counted
        )

    def ask(self, request: Request, sampling: Sampling) -> Completion:
        """One chat completion."""
        import openai

        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=cast(Any, [dict(message) for message in request.messages]),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                seed=request.seed,
            )
        except openai.APIStatusError as error:
            raise self._judged(error) from None
        except openai.APIConnectionError as error:
            raise TryAgain(f"no answer from {self._client.base_url}: {error}") from None
        except (openai.APIError, ValueError) as error:
            raise TryAgain(f"the answer could not be read: {error}") from None
        return self._completion(request, answer)

    def _judged(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        text = str(error.message)[:300]
        if status in (401, 403):
            return EngineError(
                f"{self._client.base_url} refused the key ({status}). Set OPENAI_API_KEY for the worker."
            )
        if status == 404:
            return EngineError(
                f"{self._client.base_url} has no model {self.model!r} (404): {text}. Check name and address."
            )
        if status == 429 and "insufficient_quota" in str(error.body):
            return EngineError(
                "The account's quota is used up. Raise it or choose another teacher, then resume the run."
            )
        if status in _RETRIED_STATUS or status >= 500:
            return TryAgain(f"status {status}: {text}", _seconds(error.response.headers.get("retry-after")))
        return Refused(f"status {status}: {text}")

    def _completion(self, request: Request, answer: Any) -> Completion:
        choice = answer.choices[0] if getattr(answer, "choices", None) else None
        if choice is None or choice.message is None:
            raise TryAgain("the answer held no choice", empty=True)
        if choice.finish_reason == "content_filter":
            raise Refused("the provider's content filter withheld the answer")
        text = choice.message.content or ""
        if not text and choice.finish_reason != "stop":
            raise TryAgain("the answer was empty", empty=True)
        count = answer.usage.completion_tokens if answer.usage else len(text.split())
        ended: FinishReason = "length" if choice.finish_reason == "length" else "stop"
        return Completion(request.key, text, count, ended, request.seed)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None
