#!/usr/bin/env python3
"""Makes a sketch of every PF key of a database, beside it or on another server.

Walks the keys with SCAN, tells PF keys from other strings by their first four bytes, and hands the value of each to HLL.IMPORT.
The PF keys stay as they are. A time to live goes along. May be run again: keys that have changed since are made anew.

    migrate_pf.py --port 6379 --match 'visitors:*'
    migrate_pf.py --port 6379 --to-port 6380 --suffix ''

Reading needs no migration (every HLL command that reads takes PF keys as they are); writing does. Needs the package redis.
"""

import argparse

import redis


def pf_keys(source, match):
    for key in source.scan_iter(match=match, count=1000, _type="string"):
        if source.getrange(key, 0, 3) == b"HYLL":
            yield key


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--to-port", type=int, help="another server (default: the same)")
    parser.add_argument("--match", default="*")
    parser.add_argument("--suffix", default=":hll", help="of the new keys' names; may be empty on another server")
    options = parser.parse_args()
    if not options.suffix and options.to_port in (None, options.port):
        parser.error("without a suffix the sketches would replace the PF keys they are made of")

    source = redis.Redis(port=options.port)
    target = redis.Redis(port=options.to_port or options.port)
    done = 0
    for key in pf_keys(source, options.match):
        value, left = source.get(key), source.pttl(key)
        if value is None:
            continue  # it expired meanwhile
        new = key + options.suffix.encode()
        target.execute_command("HLL.IMPORT", new, "FORMAT", "REDIS", value, "REPLACE")
        if left > 0:
            target.pexpire(new, left)
        done += 1
    print(f"{done} PF keys are sketches now")


if __name__ == "__main__":
    main()
