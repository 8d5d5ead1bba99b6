"""Tries a stored key where keys may be used: in a worker."""

from __future__ import annotations

from alignment_app.models import ProviderKey
from alignment_app.services import keys
from alignment_app.services.errors import Refused

TIMEOUT_SECONDS = 20.0


def try_key(pk: int) -> None:
    """Ask the provider for its list of models, which costs nothing, and write down what came of it."""
    key = ProviderKey.objects.filter(pk=pk).first()
    if key is None:
        return
    try:
        secret = keys.open_key(key.provider, key.name, key.base_url)
        assert secret is not None  # a stored one
        count = _gemini(secret.reveal(), key.base_url) if key.provider == "gemini" else _openai(secret.reveal(), key)
    except Refused as refusal:
        keys.say_tested(pk, False, refusal.message)
    except ImportError as error:
        keys.say_tested(pk, False, f"{error}. Run: make install EXTRAS=gemini,openai")
    except Exception as error:  # whatever the SDK or the network says
        keys.say_tested(pk, False, f"{type(error).__name__}: {str(error)[:300]}")
    else:
        keys.say_tested(pk, True, f"The provider accepts it and names {count} model{'' if count == 1 else 's'}.")


def _gemini(secret: str, base_url: str) -> int:
    from google import genai
    from google.genai import types

    options = types.HttpOptions(
        base_url=base_url,
        timeout=int(TIMEOUT_SECONDS * 1000),
        retry_options=types.HttpRetryOptions(attempts=1),
        client_args={"follow_redirects": False},
    )
    client = genai.Client(api_key=secret, vertexai=False, http_options=options)
    try:
        return len(client.models.list(config={"page_size": 100}).page)
    finally:
        client.close()


def _openai(secret: str, key: ProviderKey) -> int:
    import openai

    http = openai.DefaultHttpxClient(follow_redirects=False)
    with openai.OpenAI(
        base_url=key.base_url, api_key=secret, timeout=TIMEOUT_SECONDS, max_retries=0, http_client=http
    ) as client:
        return len(client.models.list().data)
