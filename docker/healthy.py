"""A container's health: ``healthy.py web`` asks for a page, ``healthy.py worker`` whether this worker is heard."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from datetime import UTC, datetime

#: An idle worker says that it is alive about once a minute.
HEARD_SECONDS = 150


def web() -> bool:
    """The login page answers. An allowed host is named, for the request comes to an address."""
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip().lstrip(".") or "localhost"
    request = urllib.request.Request("http://127.0.0.1:8000/accounts/login/", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=4) as answer:
        return bool(answer.status == 200)


def worker() -> bool:
    """A worker of this container is on the queue's list and was heard a short while ago."""
    from redis import Redis
    from rq import Worker

    here = socket.gethostname()
    now = datetime.now(UTC)
    for found in Worker.all(connection=Redis.from_url(os.environ["REDIS_URL"], socket_timeout=4)):
        heard = found.last_heartbeat
        if heard is not None and heard.tzinfo is None:
            heard = heard.replace(tzinfo=UTC)
        if found.hostname == here and heard is not None and (now - heard).total_seconds() < HEARD_SECONDS:
            return True
    return False


if __name__ == "__main__":
    try:
        well = {"web": web, "worker": worker}[sys.argv[1]]()
    except Exception as error:  # whatever it is, it is no sign of health
        sys.exit(f"not healthy: {error!r}")
    sys.exit(0 if well else "not healthy")
