"""What differs between redis-py and valkey-py, and between a server and a cluster."""

import importlib
from typing import Any, SupportsIndex

from .commands import Command


class Name(str):
    """A command's name. redis-py 8 splits names at their dots to look up how a cluster answers, and raises where there are two of
    them; this one has no more than two parts."""

    __slots__ = ()

    def lower(self) -> "Name":
        return Name(super().lower())

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return super().split(sep, 1 if sep == "." else maxsplit)


class Route:
    """How commands are given to one client."""

    def __init__(self, client: Any) -> None:
        library = next((name for cls in type(client).__mro__ if (name := cls.__module__.split(".")[0]) in ("redis", "valkey")), None)
        if library is None:
            raise TypeError(f"{type(client).__name__} is no client of redis-py or valkey-py")
        self.client = client
        exceptions = importlib.import_module(f"{library}.exceptions")
        self.connection_error: type[Exception] = exceptions.ConnectionError
        self.response_error: type[Exception] = exceptions.ResponseError
        self.timeout_error: type[Exception] = exceptions.TimeoutError
        self.is_cluster = hasattr(client, "get_node_from_key")

    def name(self, command: Command[Any]) -> str:
        """The name as this client can take it."""
        return Name(command.name) if self.is_cluster else command.name

    def options(self, command: Command[Any]) -> dict[str, Any]:
        """Replies are bytes whatever the client decodes. A cluster's client would ask COMMAND GETKEYS before every command whose keys
        stand at no fixed place, and decode its reply, so it is told the node."""
        options: dict[str, Any] = {"NEVER_DECODE": []}
        if self.is_cluster and command.movable and command.key is not None:
            options["target_nodes"] = self.client.get_node_from_key(command.key)
        return options

    def retries(self, command: Command[Any], options: dict[str, Any], error: Exception) -> bool:
        """Whether a command that was given to a node is to be given to the client once more, which then finds the node by itself:
        telling the node takes the client's own retries away. Only what reads is repeated."""
        return "target_nodes" in options and not command.writes and isinstance(error, (self.connection_error, self.timeout_error))
