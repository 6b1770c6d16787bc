"""Every example of the README and the documentation, executed as a reader would: what is printed there is what comes.

A page is read from top to bottom against an empty server. Of its blocks, `redis` ones are typed into redis-cli, and of
`console` ones the lines that need nothing but redis-cli and the usual text tools go to a shell; the examples are from
Redis 7.0, where numbers print as they do there.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

PAGES = [Path(ROOT) / "README.md", *sorted((Path(ROOT) / "docs").rglob("*.md"))]
SERVER = "redis-7.0"
TOOLS = re.compile(r"^(seq|awk|redis-cli|for|\(echo)\b")
BLOCK = re.compile(r"^```(redis|redis resp3|console)\n(.*?)^```", re.S | re.M)
CLI = {"redis": "redis-cli --no-raw", "redis resp3": "redis-cli -3 --no-raw"}


def commands(kind, text):
    """Pairs of a command, its continued lines included, and what is printed under it."""
    mark = "> " if kind in CLI else "$ "
    found = []
    for line in text.splitlines():
        if found and found[-1][0].endswith("\\"):
            found[-1][0] = f"{found[-1][0]}\n{line}"
        elif line.startswith(mark):
            found.append([line[len(mark):], []])
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(printed)) for command, printed in found]


@pytest.fixture
def reader(start, request, tmp_path):
    """Runs a command in a shell whose redis-cli talks to a new server, in an empty directory."""
    if SERVER not in request.config.hll_servers:
        pytest.skip(f"the examples are from {SERVER}, which is not among the servers of this run")
    server = start(SERVER)
    cli = tmp_path / "bin" / "redis-cli"
    cli.parent.mkdir()
    cli.write_text(f'#!/bin/sh\nPATH="${{PATH#*:}}"\nexec redis-cli -p {server.port} "$@"\n')
    cli.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "PATH": f"{cli.parent}:{os.environ['PATH']}", "LC_ALL": "C"}

    def run(command, typed=None):
        done = subprocess.run(["sh", "-c", command], input=typed, capture_output=True, text=True, timeout=120, cwd=work, env=environment)
        return done.stdout.rstrip("\n")

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_is_what_comes(reader, page):
    for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        for command, printed in commands(kind, text):
            if kind in CLI:
                assert reader(CLI[kind], command + "\n") == printed.rstrip("\n"), command
            elif TOOLS.match(command):
                assert reader(command) == printed.rstrip("\n"), command
