"""The board as a program: the connection to the server, the socket, and uvicorn."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from ..shells import AsyncHLL
from .app import create
from .config import BoardSettings, Limits, address
from .hub import Hub

SPARE_CONNECTIONS = 64  # for pages and API beside the streams
BACKLOG = 128


def connect(url: str, cluster: bool, limits: Limits) -> AsyncHLL:
    """A client whose every wait has a limit. It connects when it is first used. Raises ValueError for an address that is none."""
    import redis.asyncio
    import redis.asyncio.cluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options: dict[str, Any] = {"socket_timeout": limits.answer_timeout, "socket_connect_timeout": limits.connect_timeout,
                               "client_name": "redis-hll-board"}
    if cluster:
        return AsyncHLL(redis.asyncio.cluster.RedisCluster.from_url(url, **options))
    # Once more, since a connection that was idle may have been closed; beyond that the board asks again by itself.
    return AsyncHLL(redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 1), max_connections=limits.at_once + 4, **options))


def listen(settings: BoardSettings) -> socket.socket:
    """A socket that listens where the board was told. Raises OSError."""
    host, port = address(settings.listen)
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG)


def shown(sock: socket.socket) -> str:
    """The address of a socket as browsers take it."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class Server(uvicorn.Server):
    """uvicorn, which ends the streams before it waits for answers to end."""

    hub: Hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.hub.end_streams()
        await super().shutdown(sockets=sockets)


def run(settings: BoardSettings, make: Callable[[], AsyncHLL], sock: socket.socket, shown_address: str) -> None:
    """Serves until it is told to stop (SIGINT, SIGTERM)."""
    async def serve() -> None:
        # The client belongs to the loop in which it is made.
        hub = Hub(settings, make())
        server = Server(uvicorn.Config(
            create(hub, shown_address), loop="asyncio", http="h11", ws="none", lifespan="on", log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=settings.limits.viewers + SPARE_CONNECTIONS, timeout_keep_alive=10, timeout_graceful_shutdown=2))
        server.hub = hub
        await server.serve(sockets=[sock])
    asyncio.run(serve())
