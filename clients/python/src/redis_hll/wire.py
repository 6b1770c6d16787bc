"""Many words at once, on a connection of the client's pool: for `add_many`, writers and loading.

Client libraries look at every word of a command by itself, which takes longer than the server needs for it. Here all words are bytes
already, so a command is put together from pieces in a few calls, whatever the number of words. Everything else is the library's:
how a connection is made and given back, its retries, and how replies are read.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from .commands import Command

HEADS = [b"\r\n$%d\r\n" % size for size in range(1024)]  # what stands before a word of so many bytes, the end of the last one included


def packed(name: str, words: Sequence[bytes]) -> bytes:
    """A command as the server reads it."""
    parts = [b""] * (2 * len(words))
    try:
        parts[::2] = map(HEADS.__getitem__, map(len, words))
    except IndexError:
        parts[::2] = [b"\r\n$%d\r\n" % len(word) for word in words]
    parts[1::2] = words
    return b"*%d\r\n$%d\r\n%b%b\r\n" % (len(words) + 1, len(name), name.encode(), b"".join(parts))


class Wire:
    """Sends packed commands through a client that has one server, and a pool of connections to it."""

    def __init__(self, client: Any, response_error: type[Exception]) -> None:
        self._pool = client.connection_pool
        self._response_error = response_error
        # Older libraries want to know what a connection is for.
        name = inspect.signature(self._pool.get_connection).parameters.get("command_name")
        self._for = ("HLL.ADD",) if name is not None and name.default is inspect.Parameter.empty else ()

    @classmethod
    def of(cls, client: Any, response_error: type[Exception]) -> "Wire | None":
        """None for a client that has no pool of plain connections: of a cluster, with one connection, or with a cache of replies."""
        pool = getattr(client, "connection_pool", None)
        if pool is None or getattr(client, "connection", None) is not None or getattr(client, "single_connection_client", False):
            return None
        return None if getattr(pool, "cache", None) is not None else cls(client, response_error)

    def send(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """The reply or the error that each command was answered with; the server works on one while the next is put together. Raises what the library raises for broken connections."""
        connection = self._pool.get_connection(*self._for)

        def talk() -> list[Any]:
            connection.send_packed_command(packed(command.name, command.words) for command in commands)
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except self._response_error as error:
                    replies.append(error)
            return replies
        try:
            return connection.retry.call_with_retry(talk, lambda _: connection.disconnect())  # type: ignore[no-any-return]
        except BaseException:
            connection.disconnect()  # replies that nobody has read must not be taken for those of the next command
            raise
        finally:
            self._pool.release(connection)

    async def send_awaited(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """The same through a client that is awaited."""
        connection = await self._pool.get_connection(*self._for)

        async def talk() -> list[Any]:
            await connection.send_packed_command([packed(command.name, command.words) for command in commands])
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response(disable_decoding=True))
                except self._response_error as error:
                    replies.append(error)
            return replies

        async def fail(_: Exception) -> None:
            await connection.disconnect()
        try:
            return await connection.retry.call_with_retry(talk, fail)  # type: ignore[no-any-return]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)
