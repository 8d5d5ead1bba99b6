"""Login throttling: failures are counted in the cache, by user name and address.

If the cache is not available, logins are not throttled.
"""

from __future__ import annotations

import hashlib
import logging

from django.core.cache import cache

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60
#: Failures per window after which one address is refused for one name.
LIMIT_FROM_ONE_ADDRESS = 5
#: Failures per window after which a name is refused from all addresses; far above a user's own mistakes.
LIMIT_FOR_A_NAME = 50


def is_shut(username: str, address: str) -> bool:
    """Return whether there were too many failures in the window. The password is not checked then."""
    try:
        counts = cache.get_many([key for key, _ in _limits(username, address)])
    except Exception:
        log.exception("the cache does not respond; logins are not throttled")
        return False
    return any(counts.get(key, 0) >= limit for key, limit in _limits(username, address))


def count_failure(username: str, address: str) -> None:
    """Count a failed login. The window starts with the first failure."""
    try:
        for key, _ in _limits(username, address):
            cache.add(key, 0, WINDOW_SECONDS)
            cache.incr(key)
    except ValueError:
        pass  # the window ended between the two calls
    except Exception:
        log.exception("the cache does not respond; a failed login was not counted")


def forget(username: str, address: str) -> None:
    """Reset the failures of this address after a successful login."""
    try:
        cache.delete(_limits(username, address)[0][0])
    except Exception:
        log.exception("the cache does not respond; failed logins were not reset")


def _limits(username: str, address: str) -> tuple[tuple[str, int], tuple[str, int]]:
    name = hashlib.sha256(username.strip().lower().encode()).hexdigest()
    return (f"login:{name}:{address}", LIMIT_FROM_ONE_ADDRESS), (f"login:{name}", LIMIT_FOR_A_NAME)
