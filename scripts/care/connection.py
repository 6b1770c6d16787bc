"""How the care programs reach a server, and what they have in common in telling how it went."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

import redis

DONE = 0     # everything is as it should be
FOUND = 1    # the program did its work and found something a person must look at
MISUSED = 2  # wrong arguments; argparse ends with this one by itself
FAILED = 3   # the work could not be done

EXIT_CODES = """exit status: 0 done and all is well; 1 done, and something needs a person (the lines marked ! say what); 2 wrong
arguments; 3 the work could not be done (no connection, an error of the server or of the disk)"""

DEFAULT_URL = "redis://127.0.0.1:6379/0"
SCAN_COUNT = 1000
SECONDS = 60


class CareError(Exception):
    """The work cannot be done; the text says why, and what would help."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default=os.environ.get("HLL_URL", DEFAULT_URL),
                        help="redis://user@host:port/database, rediss:// or unix://; default: environment HLL_URL, else "
                        f"{DEFAULT_URL}. The password comes from the environment, REDISCLI_AUTH, as with redis-cli.")


def connect(url: str) -> redis.Redis:
    """A client of the server, which has been reached and has the module."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=SECONDS)
    except ValueError as wrong:
        raise CareError(f"--url: {wrong}") from wrong
    known = client.connection_pool.connection_kwargs
    if known.get("password") is None and "REDISCLI_AUTH" in os.environ:
        known["password"] = os.environ["REDISCLI_AUTH"]
    if "hll_version" not in client.info("hll"):
        raise CareError("the server does not have the module (INFO hll is empty); add its loadmodule line and restart it")
    return client


def fields(reply: Any) -> dict[str, Any]:
    """A reply with fields as a dict: RESP3 has a map, RESP2 a flat list of names and values."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {text(name): text(value) if isinstance(value, bytes) else value for name, value in pairs}


def text(value: bytes | str) -> str:
    """A name or a word for people and for JSON; bytes that are no UTF-8 are kept, as Python keeps those of file names."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def shown(name: bytes) -> str:
    """A key's name on one line of output, whatever bytes it has."""
    readable = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable)


def kinds(client: redis.Redis, names: list[bytes]) -> list[str]:
    """The type of each key, as TYPE answers it."""
    with client.pipeline(transaction=False) as asked:
        for name in names:
            asked.type(name)
        return [text(kind) for kind in asked.execute()]


def keys(client: redis.Redis, glob: bytes) -> Iterator[list[bytes]]:
    """Names of keys that match, each once, in batches."""
    seen: set[bytes] = set()
    cursor = 0
    while True:
        cursor, found = client.scan(cursor, match=glob, count=SCAN_COUNT)
        fresh = [name for name in dict.fromkeys(found) if name not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor == 0:
            return
