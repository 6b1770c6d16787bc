"""Commands as the bytes that go over the wire, made before the clock starts, and connections that send them.

A client library spends more time on encoding a command than the server on executing it, so that through one every
command looks alike. Here the client only moves bytes, and most of the time that is measured is the server's.

An element is 16 hexadecimal digits of a 64-bit random number: as an argument always 23 bytes. That makes a million of
them one string, and a command a slice of it.
"""

import random
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

DIGITS = 16
ARGUMENT = len(b"$16\r\n") + DIGITS + len(b"\r\n")


class Chunk(NamedTuple):
    """Commands that are sent in one piece, and how many replies come back."""

    sent: bytes
    replies: int


class WireError(Exception):
    """The server answered with an error, or not at all."""


def argument(word: str) -> bytes:
    data = word.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(argument(word) for word in words)


class Elements:
    """`count` random elements, encoded as arguments. The same seed gives the same ones."""

    def __init__(self, seed: int | str, count: int) -> None:
        self.count = count
        digits = random.Random(seed).randbytes(count * DIGITS // 2).hex("\n", DIGITS // 2)
        self.encoded = ("$16\r\n" + digits.replace("\n", "\r\n$16\r\n") + "\r\n").encode() if count else b""

    def slice(self, start: int, end: int) -> bytes:
        return self.encoded[start * ARGUMENT : end * ARGUMENT]


def add_head(verb: str, key: str, elements: int) -> bytes:
    """All of `verb key element ...` but the elements."""
    return b"*%d\r\n" % (2 + elements) + argument(verb) + argument(key)


def adds(verb: str, key: str, elements: Elements, each: int, pipeline: int) -> list[Chunk]:
    """All elements into one key, `each` to a command (the last may have fewer), `pipeline` commands to a chunk."""
    head = add_head(verb, key, each)
    chunks = []
    for start in range(0, elements.count, each * pipeline):
        end = min(start + each * pipeline, elements.count)
        whole, rest = divmod(end - start, each)
        if each == 1:
            sent = elements.slice(start, end).replace(b"$16\r\n", head + b"$16\r\n")
        else:
            sent = b"".join(head + elements.slice(at, at + each) for at in range(start, start + whole * each, each))
        if rest:
            sent += add_head(verb, key, rest) + elements.slice(end - rest, end)
        chunks.append(Chunk(sent, whole + bool(rest)))
    return chunks


def add_chunks(verb: str, key: str, users: Sequence[bytes], each: int) -> list[Chunk]:
    """As `adds`, of elements that were encoded singly, because they were drawn from a population."""
    lines = []
    for at in range(0, len(users), each):
        some = users[at : at + each]
        lines.append(add_head(verb, key, len(some)) + b"".join(some))
    return pieces(lines, max(5_000 // each, 1))


def pieces(commands: Sequence[bytes], pipeline: int) -> list[Chunk]:
    """Commands of any kind, each of which has one line for an answer, in chunks."""
    groups = (commands[at : at + pipeline] for at in range(0, len(commands), pipeline))
    return [Chunk(b"".join(group), len(group)) for group in groups]


class Connection:
    """A socket to a server on this machine. Understands replies of one line: integers, +OK, errors."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def wait(self, replies: int) -> None:
        """Reads until that many replies have come. None may be an error."""
        while replies > 0:
            data = self._socket.recv(1 << 16)
            if not data:
                raise WireError("the server closed the connection")
            if b"-" in data:
                raise WireError(data[data.index(b"-") :].split(b"\r\n")[0].decode(errors="replace"))
            replies -= data.count(b"\n")


def exchange(connections: Sequence[Connection], chunks: Iterable[Chunk]) -> None:
    """Sends all chunks and reads all replies, each connection having one chunk under way.

    With several connections the server finds the next chunk waiting when it has finished one, so that it never idles
    while the client reads. With one the chunks are executed in order.
    """
    waiting = [0] * len(connections)
    for number, chunk in enumerate(chunks):
        lane = number % len(connections)
        connections[lane].wait(waiting[lane])
        connections[lane].send(chunk.sent)
        waiting[lane] = chunk.replies
    for connection, replies in zip(connections, waiting, strict=True):
        connection.wait(replies)
