"""What the tests say over and over: filling keys, reading replies with fields, proving that a refusal changed nothing."""

import math
import re

import pytest

from resp import ReplyError

# The fields of the replies, in the order the design gives them.
ESTIMATE_FIELDS = ["estimate", "lower", "upper", "confidence", "relative_error", "method"]
INFO_FIELDS = ["type", "precision", "registers", "encoding", "hash", "history", "estimator", "count", "standard_error",
               "memory_bytes", "serialized_bytes", "compression", "compression_ratio"]
WORDS = {"method", "type", "encoding", "hash", "history", "estimator", "compression"}

# Our own errors: what is wrong, then what would be right.
OURS = r"^ERR HLL: .+, .+"
WRONG_TYPE = r"^WRONGTYPE Operation against a key holding the wrong kind of value$"
ARITY = r"^ERR wrong number of arguments for '(?i:hll\.\w+)' command$"

COMPRESSIONS = ["zstd", "lz4", "gzip", "none"]

HIP, ML = 0.658, 0.761  # one standard deviation times sqrt(m): added-to only, and merged


def sd(estimator, precision):
    """The relative standard deviation of an estimator at a precision."""
    return {"hip": HIP, "ml": ML}[estimator] / math.sqrt(1 << precision)


def elements(start, stop, prefix="user"):
    """`user:<i>` for i in the half-open range, as in the test vectors of the design."""
    return [f"{prefix}:{i}" for i in range(start, stop)]


def add(client, key, items, batch=2000):
    """HLL.ADD in batches; the number of calls that changed the sketch."""
    replies = client.pipe(["HLL.ADD", key, *items[i:i + batch]] for i in range(0, len(items), batch))
    bad = [r for r in replies if r not in (0, 1)]
    assert not bad, bad[0]
    return sum(replies)


def fields(client, reply, names=None):
    """A reply with fields as a dict of str to str, int or float. It must have the shape of the client's protocol:
    a map in RESP3, a flat array in RESP2, and the names in the given order."""
    if client.protocol == 3:
        assert type(reply) is dict, reply
        pairs = list(reply.items())
    else:
        assert type(reply) is list and len(reply) % 2 == 0, reply
        pairs = list(zip(reply[::2], reply[1::2]))
    keys = [key.decode() if isinstance(key, bytes) else str(key) for key, _ in pairs]
    if names is not None:
        assert keys == names
    return {key: _plain(key, value) for key, (_, value) in zip(keys, pairs)}


def _plain(key, value):
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return str(value) if key in WORDS else float(value)
    return value


def estimate(client, *keys, confidence=None):
    tail = [] if confidence is None else ["CONFIDENCE", confidence]
    return fields(client, client("HLL.ESTIMATE", len(keys), *keys, *tail), ESTIMATE_FIELDS)


def info(client, key):
    return fields(client, client("HLL.INFO", key), INFO_FIELDS)


def make(client, key, kind, precision=13, prefix="user"):
    """A sketch of each state a sketch can be in; how many elements it was given.

    empty   created, nothing added
    sparse  half of what fits as tokens
    hip     dense, only ever added to
    ml      dense, by a merge
    """
    m = 1 << precision
    client("HLL.CREATE", key, "PRECISION", precision)
    added = 2 * m if precision < 16 else m // 2  # dense begins at m / 4
    n = {"empty": 0, "sparse": m // 8, "hip": added, "ml": added + added // 2}[kind]
    if kind == "ml":
        other = f"{key}:other"
        client("HLL.CREATE", other, "PRECISION", precision)
        add(client, other, elements(n // 2, n, prefix))
        add(client, key, elements(0, added, prefix))
        client("HLL.MERGE", key, other)
        client("DEL", other)
    else:
        add(client, key, elements(0, n, prefix))
    described = info(client, key)
    expected = {"empty": ("sparse", "exact"), "sparse": ("sparse", "exact"), "hip": ("dense", "hip"), "ml": ("dense", "ml")}
    assert (described["encoding"], described["estimator"]) == expected[kind]
    return n


KINDS = ["empty", "sparse", "hip", "ml"]


def digest(client, *keys):
    """DEBUG DIGEST-VALUE of the keys, or DEBUG DIGEST of all data when none is named."""
    return client("DEBUG", "DIGEST-VALUE", *keys) if keys else client("DEBUG", "DIGEST")


def state(client, key):
    """Everything a client can see of a sketch: its content, and how it is counted."""
    described = info(client, key)
    for name in ("serialized_bytes", "compression", "compression_ratio", "memory_bytes"):
        described.pop(name)  # these tell of settings and of allocations, not of the sketch
    return digest(client, key), described, client("HLL.COUNT", key), estimate(client, key)


def refused(client, *command, match=OURS):
    """The command is an error that matches, and it changed nothing in the whole key space."""
    before = digest(client)
    with pytest.raises(ReplyError) as caught:
        reply = client(*command)
        print(f"accepted: {command!r:.300} -> {reply!r:.300}")
    text = caught.value.text
    assert re.search(match, text), f"{command!r:.300} was refused with {text!r}, which does not match {match!r}"
    assert "internal error" not in text
    assert digest(client) == before, f"{command!r:.300} was refused with {text!r}, yet it changed data"
    return text
