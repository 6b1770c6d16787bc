#!/usr/bin/env python3
"""Sketches made in parallel by a batch job, answered for by the server.

Cuts a CSV file into pieces, gives each to a process of its own that fills one Apache DataSketches HLL per step, and merges
what comes back on a server with redis-hll, which then answers a funnel. On a cluster of machines the pieces would be files and
the processes tasks; nothing else changes.

    batch_funnel.py events.csv --user user --step event --funnel view,cart,pay --port 6379

Needs the packages redis and datasketches.
"""

import argparse
import csv
import multiprocessing
import os

import redis
from datasketches import hll_sketch, tgt_hll_type

LG_K = 14  # 2^14 registers: what HLL.FUNNEL needs to tell a step of a percent from none


def pieces(path, number):
    """Byte ranges of the file's lines behind the header, cut at line ends: (first, last, names of the columns)."""
    with open(path, "rb") as f:
        columns = next(csv.reader([f.readline().decode()]))
        start, size = f.tell(), os.path.getsize(path)
        bounds = [start]
        for i in range(1, number):
            f.seek(max(start, start + (size - start) * i // number - 1))
            f.readline()
            bounds.append(f.tell())
        bounds.append(size)
    return [(path, columns, first, last) for first, last in zip(bounds, bounds[1:])]


def sketch_piece(piece_and_names):
    """One task of the batch job: step -> bytes of the sketch of its users."""
    (path, columns, first, last), user, step = piece_and_names
    user, step = columns.index(user), columns.index(step)
    sketches = {}
    with open(path, "rb") as f:
        f.seek(first)
        lines = (line.decode() for line in f.read(last - first).splitlines())
        for row in csv.reader(lines):
            sketch = sketches.get(row[step])
            if sketch is None:
                sketch = sketches[row[step]] = hll_sketch(LG_K, tgt_hll_type.HLL_4)
            sketch.update(row[user])
    return {name: sketch.serialize_compact() for name, sketch in sketches.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--user", required=True, help="column of the elements")
    parser.add_argument("--step", required=True, help="column of the steps")
    parser.add_argument("--funnel", required=True, help="steps, separated by commas")
    parser.add_argument("--prefix", default="batch:", help="of the keys")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--port", type=int, default=6379)
    options = parser.parse_args()

    server = redis.Redis(port=options.port)
    tasks = [(piece, options.user, options.step) for piece in pieces(options.file, options.workers)]
    with multiprocessing.Pool(options.workers) as pool:
        for sketches in pool.imap_unordered(sketch_piece, tasks):
            for name, payload in sketches.items():
                server.execute_command("HLL.IMPORT", options.prefix + name, "FORMAT", "DATASKETCHES", payload, "MERGE")

    steps = options.funnel.split(",")
    rows = server.execute_command("HLL.FUNNEL", len(steps), *[options.prefix + step for step in steps])
    print(f"{'step':12}  {'users':>12}  {'95 % interval':>27}  from the step before")
    for step, row in zip(steps, rows):
        row = row if isinstance(row, dict) else dict(zip(row[::2], row[1::2]))
        users, lower, upper, rate = (float(row[name]) for name in (b"users", b"lower", b"upper", b"conversion"))
        print(f"{step:12}  {users:12,.0f}  {lower:12,.0f} .. {upper:11,.0f}  {rate:8.1%}")


if __name__ == "__main__":
    main()
