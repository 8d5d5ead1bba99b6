"""Slows down whoever guesses passwords: failures are counted in the cache, by name and address.

The count is a brake and not a record: where the cache is away, people can still log in.
"""

from __future__ import annotations

import hashlib
import logging

from django.core.cache import cache

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60
#: Failures in a window after which one address is refused for one name.
LIMIT_FROM_ONE_ADDRESS = 5
#: Failures in a window after which a name is refused from everywhere: far above what its owner's mistakes add up to.
LIMIT_FOR_A_NAME = 50


def is_shut(username: str, address: str) -> bool:
    """Too many failures within the window: do not even look at the password."""
    try:
        counts = cache.get_many([key for key, _ in _limits(username, address)])
    except Exception:
        log.exception("the cache does not answer; logins are not throttled")
        return False
    return any(counts.get(key, 0) >= limit for key, limit in _limits(username, address))


def count_failure(username: str, address: str) -> None:
    """One more wrong password. The window begins with its first failure and does not move."""
    try:
        for key, _ in _limits(username, address):
            cache.add(key, 0, WINDOW_SECONDS)
            cache.incr(key)
    except ValueError:
        pass  # the window ended between the two calls
    except Exception:
        log.exception("the cache does not answer; a failed login was not counted")


def forget(username: str, address: str) -> None:
    """A right password: what this address got wrong before is forgiven."""
    try:
        cache.delete(_limits(username, address)[0][0])
    except Exception:
        log.exception("the cache does not answer; failed logins were not forgiven")


def _limits(username: str, address: str) -> tuple[tuple[str, int], tuple[str, int]]:
    name = hashlib.sha256(username.strip().lower().encode()).hexdigest()
    return (f"login:{name}:{address}", LIMIT_FROM_ONE_ADDRESS), (f"login:{name}", LIMIT_FOR_A_NAME)
