"""Engine for servers with the OpenAI chat API: a vLLM server, a hosted model, a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from training.domain.rows import FinishReason
from training.domain.secret import Secret
from training.domain.spending import Usage
from training.engines.base import Completion, EngineError, Request, Sampling, Unanswered
from training.engines.remote import Answer, Refused, RemoteEngine, TryAgain, retry_after_seconds

if TYPE_CHECKING:
    import openai

_RETRIED_STATUS = (408, 409, 425, 429)


class OpenAICompatibleEngine(RemoteEngine):
    """Chat completions with the ``openai`` SDK. The key is optional for local servers."""

    name = "openai_compatible"

    def __init__(
        self, model: str, base_url: str, *, key: Secret | None = None, timeout: float = 120, **common: Any
    ) -> None:
        super().__init__(key=key, **common)
        import openai

        self.model = model
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=key.reveal() if key else "no-key-set",
            timeout=timeout,
            max_retries=0,  # RemoteEngine retries: it honours Retry-After and counts failures
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False,  # never send the key to another host
                # One reusable connection per request in flight; the SDK's default is a hundred.
                limits=type(openai.DEFAULT_CONNECTION_LIMITS)(
                    max_connections=self.concurrency, max_keepalive_connections=self.concurrency
                ),
            ),
        )

    @classmethod
    def count_models(cls, key: Secret, base_url: str, timeout: float) -> int:
        """See :meth:`RemoteEngine.count_models`."""
        import openai

        http = openai.DefaultHttpxClient(follow_redirects=False)
        with openai.OpenAI(
            base_url=base_url, api_key=key.reveal(), timeout=timeout, max_retries=0, http_client=http
        ) as client:
            return len(client.models.list().data)

    def ask(self, request: Request, sampling: Sampling) -> Answer:
        """Request one chat completion."""
        import openai

        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=cast(Any, [dict(message) for message in self.messages(request)]),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=self.limit(sampling),
                seed=request.seed,
            )
        except openai.APIStatusError as error:
            raise self._error_of(error) from None
        except openai.APIConnectionError as error:
            raise TryAgain(f"no answer from {self._client.base_url}: {error}", outcome="lost") from None
        except (openai.APIError, ValueError) as error:
            raise TryAgain(f"the answer could not be read: {error}", outcome="lost") from None
        try:
            return self._answer(request, answer, sampling)
        except (AttributeError, IndexError, KeyError, TypeError):  # the SDK does not validate the JSON
            raise TryAgain("the answer is not a chat completion", outcome="lost") from None

    def _error_of(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        text = str(error.message)[:300]
        where = self._client.base_url
        if status in (401, 403):
            return EngineError(
                f"{where} refused the key ({status}): {text}. Have an admin store one for this address under Keys and "
                "name it in the config. The worker's OPENAI_API_KEY is sent to OPENAI_BASE_URL only."
            )
        if status == 404:
            return EngineError(f"{where} has no model {self.model!r} (404): {text}. Check name and address.")
        if status == 429 and "insufficient_quota" in str(error.body):
            return Unanswered(
                "The account's quota is used up. The answers received are saved; raise the quota, then resume the run."
            )
        if status in _RETRIED_STATUS or status >= 500:
            return TryAgain(f"status {status}: {text}", retry_after_seconds(error.response.headers.get("retry-after")))
        return Refused(f"status {status}: {text}")

    def _answer(self, request: Request, answer: Any, sampling: Sampling) -> Answer:
        used = _usage(getattr(answer, "usage", None))
        choice = answer.choices[0] if getattr(answer, "choices", None) else None
        if choice is None or choice.message is None:
            raise TryAgain("the answer contained no choice", outcome="empty", usage=used)
        if choice.finish_reason == "content_filter":
            raise TryAgain("the provider's content filter withheld the answer", outcome="blocked", usage=used)
        text = choice.message.content or ""
        if not isinstance(text, str):
            raise TypeError
        if not text and choice.finish_reason == "length":
            raise self.empty_at_limit(sampling, "length", used)
        if not text and choice.finish_reason != "stop":
            raise TryAgain("the answer was empty", outcome="empty", usage=used)
        count = used.completion_tokens if used else len(text.split())
        ended: FinishReason = "length" if choice.finish_reason == "length" else "stop"
        return Answer(Completion(request.key, text, count, ended, request.seed), used)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _usage(reported: Any) -> Usage | None:
    if reported is None or reported.prompt_tokens is None:
        return None
    return Usage(reported.prompt_tokens, reported.completion_tokens or 0)
