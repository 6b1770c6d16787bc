"""Which server: `--url`, else REDIS_HLL_URL, else `url` of a configuration file, else this machine."""

import argparse
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from ..shells import HLL
from ..sources.files import InputError

CONFIGURATION = "redis-hll.toml"
KNOWN = {"url": str, "cube": str, "cluster": bool, "board": dict}


def configuration(path: Path | None) -> dict[str, Any]:
    """The file that was named, or redis-hll.toml of this directory if there is one. Raises InputError."""
    if path is None and not Path(CONFIGURATION).is_file():
        return {}
    found = path or Path(CONFIGURATION)
    try:
        values = tomllib.loads(found.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{found}: {error}") from None
    for name, value in values.items():
        if not isinstance(value, KNOWN.get(name, ())):
            raise InputError(f"{found}: '{name}' is not known there or of a wrong type; known are {', '.join(KNOWN)}")
    return values


def masked(url: str) -> str:
    """The address without its password."""
    return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", url)


def server_of(arguments: argparse.Namespace) -> tuple[str, bool]:
    """The address of the server, and whether it is a cluster."""
    url = arguments.url or os.environ.get("REDIS_HLL_URL") or arguments.settings.get("url") or "redis://127.0.0.1:6379"
    return url, bool(arguments.cluster or arguments.settings.get("cluster"))


def connect(arguments: argparse.Namespace) -> tuple[HLL, str]:
    """A client and its address as it may be shown. Raises InputError for an address that is none."""
    import redis
    import redis.cluster

    url, cluster = server_of(arguments)
    try:
        client = (redis.cluster.RedisCluster if cluster else redis.Redis).from_url(url)
    except (ValueError, redis.RedisError) as error:
        raise InputError(f"{masked(url)}: {error}") from None
    return HLL(client), masked(url)
