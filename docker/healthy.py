"""Container health check: ``healthy.py web`` requests a page, ``healthy.py worker`` checks the worker's heartbeat."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from datetime import UTC, datetime

#: An idle worker says that it is alive about once a minute.
HEARD_SECONDS = 150


def web() -> bool:
    """Check that the login page responds. The request names an allowed host, because it goes to an IP address."""
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip().lstrip(".") or "localhost"
    request = urllib.request.Request("http://127.0.0.1:8000/accounts/login/", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=4) as answer:
        return bool(answer.status == 200)


def worker() -> bool:
    """Check that a worker of this container is registered with a recent heartbeat."""
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
    except Exception as error:  # any error means unhealthy
        sys.exit(f"not healthy: {error!r}")
    sys.exit(0 if well else "not healthy")
