#!/usr/bin/env python3
"""Counts the union of sketches in any slots without the cluster bus: a client fetches them and has them united.

For services where modules may not use the bus, and HLL.CLUSTER gets no answer. Each sketch is exported by its node and merged
into one key, which is counted and deleted.

    fetch_and_unite.py --port 7000 visitors:2026-01 visitors:2026-02 visitors:2026-03

Every key is read as GET would read it, while slots move too, since the client follows the nodes' redirections; keys are read at
different moments. Every sketch travels whole, twice. Needs the package redis.
"""

import argparse
import secrets

import redis

SECONDS = 60  # after which the key for the union goes by itself, should this program die


def united(client, keys):
    """The number of distinct elements in all of these keys; a key that is missing has none."""
    union = f"united:{secrets.token_hex(8)}"
    try:
        # Of the highest precision: it takes the lowest of what is merged.
        client.execute_command("HLL.CREATE", union, "PRECISION", 18)
        client.expire(union, SECONDS)
        for key in keys:
            if client.exists(key):
                client.execute_command("HLL.IMPORT", union, "FORMAT", "NATIVE", client.execute_command("HLL.EXPORT", key), "MERGE")
        return client.execute_command("HLL.COUNT", union)
    finally:
        client.delete(union)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7000, help="of any node")
    parser.add_argument("keys", nargs="+", metavar="key")
    options = parser.parse_args()
    with redis.RedisCluster(host=options.host, port=options.port) as client:
        print(united(client, options.keys))


if __name__ == "__main__":
    main()
