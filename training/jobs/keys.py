"""Tries a stored key where keys may be used: in a worker."""

from __future__ import annotations

from alignment_app.models import ProviderKey
from alignment_app.services import keys
from alignment_app.services.errors import Refused
from training.engines import engine_class
from training.engines.base import EngineError

TIMEOUT_SECONDS = 20.0


def try_key(pk: int) -> None:
    """Ask the provider for its list of models, which costs nothing, and write down what came of it."""
    key = ProviderKey.objects.filter(pk=pk).first()
    if key is None:
        return
    try:
        secret = keys.open_key(key.provider, key.name, key.base_url)
        assert secret is not None  # a stored one
        count = engine_class(key.provider).count_models(secret, key.base_url, TIMEOUT_SECONDS)
    except Refused as refusal:
        keys.say_tested(pk, False, refusal.message)
    except EngineError as error:
        keys.say_tested(pk, False, str(error))
    except Exception as error:  # whatever the SDK or the network says
        keys.say_tested(pk, False, f"{type(error).__name__}: {str(error)[:300]}")
    else:
        keys.say_tested(pk, True, f"The provider accepts it and names {count} model{'' if count == 1 else 's'}.")
