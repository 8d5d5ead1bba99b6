"""The web process, on a socket bound by its parent: ``python -m alignment_app.processes.web FD``.

The parent keeps the socket open, so that during a restart of the web process browsers wait instead of failing.
"""

from __future__ import annotations

import socket
import sys

import uvicorn


def serve(listener: socket.socket) -> None:
    """Serve until stopped."""
    config = uvicorn.Config(
        "alignment_app.asgi:application",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        # Compressing small frames separately for many sockets costs more than it saves.
        ws_per_message_deflate=False,
        ws_max_size=64 * 1024,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
