"""The programs under examples/interop do what they say, run as a user runs them."""

import os
import subprocess
import sys

from conftest import ROOT
from helpers import add, elements, info

EXAMPLES = os.path.join(ROOT, "examples", "interop")


def run(program, *options):
    command = [sys.executable, os.path.join(EXAMPLES, program), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_batch_job_fills_a_funnel(server, tmp_path, rng):
    """Pieces of a file, sketched in parallel, are one funnel; the sketches are those of the whole file. 99.99 % intervals would
    be needed for a strict check: the printed ones may miss, the counts may be five errors away."""
    sets = {"view": range(0, 20_000), "cart": range(15_000, 22_000), "pay": range(18_000, 23_000)}
    lines = [f'{user},"{step}, really",{step}' for step, users in sets.items() for user in map("visitor {}".format, users)]
    rng.shuffle(lines)
    path = tmp_path / "events.csv"
    path.write_text("user,comment,event\n" + "\n".join(lines) + "\n")
    shown = run("batch_funnel.py", path, "--user", "user", "--step", "event", "--funnel", "view,cart,pay", "--workers", 3, "--port", server.port)
    rows = [line.split() for line in shown.splitlines()[1:]]
    assert [row[0] for row in rows] == ["view", "cart", "pay"]
    for row, truth in zip(rows, (20_000, 5_000, 2_000)):
        users, lower, upper = (float(row[i].replace(",", "")) for i in (1, 2, 4))
        assert lower <= users <= upper and abs(users - truth) < 5 * max(upper - users, users - lower) / 2
    c = server.c
    for step, users in sets.items():
        c("HLL.CREATE", "whole", "HASH", "DATASKETCHES", "PRECISION", 14)
        add(c, "whole", [f"visitor {i}" for i in users])
        assert c("HLL.EXPORT", "whole", "FORMAT", "DATASKETCHES") == c("HLL.EXPORT", f"batch:{step}", "FORMAT", "DATASKETCHES")
        c("DEL", "whole")


def test_a_database_of_pf_keys_is_migrated(server, start, server_name):
    c = server.c
    for i in range(30):
        c("PFADD", f"visitors:{i}", *elements(i, i * 50 + 1))
    c("SET", "visitors:name", "not one")
    c("SADD", "visitors:set", "nor this")
    c("EXPIRE", "visitors:3", 1000)
    values = [c("GET", f"visitors:{i}") for i in range(30)]
    assert run("migrate_pf.py", "--port", server.port, "--match", "visitors:*").startswith("30 PF keys")
    assert [c("GET", f"visitors:{i}") for i in range(30)] == values
    for i in range(30):
        assert c("HLL.EXPORT", f"visitors:{i}:hll", "FORMAT", "REDIS") == c("HLL.EXPORT", f"visitors:{i}", "FORMAT", "REDIS")
    assert 990 <= c("TTL", "visitors:3:hll") <= 1000 and c("TTL", "visitors:4:hll") == -1
    assert info(c, "visitors:9:hll")["type"] == "HLLsketch"
    assert c("HLL.ADD", "visitors:9:hll", "new one") == 1
    # Again, and to another server under the same names.
    assert run("migrate_pf.py", "--port", server.port).startswith("30 PF keys")
    other = start(server_name)
    assert run("migrate_pf.py", "--port", server.port, "--to-port", other.port, "--suffix", "").startswith("30 PF keys")
    assert other.c("HLL.COUNT", "visitors:9") == c("HLL.COUNT", "visitors:9")
