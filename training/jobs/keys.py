"""Test a stored key in a worker, the only process that may use keys."""

from __future__ import annotations

from alignment_app.models import ProviderKey
from alignment_app.services import keys
from alignment_app.services.errors import Refused
from training.engines import engine_class
from training.engines.base import EngineError

TIMEOUT_SECONDS = 20.0


def try_key(pk: int) -> None:
    """Request the provider's list of models, which is free, and save the outcome."""
    key = ProviderKey.objects.filter(pk=pk).first()
    if key is None:
        return
    try:
        secret = keys.open_key(key.provider, key.name, key.base_url)
        assert secret is not None
        count = engine_class(key.provider).count_models(secret, key.base_url, TIMEOUT_SECONDS)
    except Refused as refusal:
        keys.store_test_result(pk, False, refusal.message)
    except EngineError as error:
        keys.store_test_result(pk, False, str(error))
    except Exception as error:  # any error of the SDK or the network
        keys.store_test_result(pk, False, f"{type(error).__name__}: {str(error)[:300]}")
    else:
        keys.store_test_result(
            pk, True, f"The provider accepts the key and lists {count} model{'' if count == 1 else 's'}."
        )
