"""The web process on a socket that its parent has bound: ``python -m alignment_app.processes.web FD``.

The parent keeps the socket, so that while the web process is started again, browsers wait instead of being refused.
"""

from __future__ import annotations

import socket
import sys

import uvicorn


def serve(listener: socket.socket) -> None:
    """Serve until told to stop."""
    config = uvicorn.Config(
        "alignment_app.asgi:application",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        # Small frames to many sockets: deflating each for each costs more than it saves.
        ws_per_message_deflate=False,
        ws_max_size=64 * 1024,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
