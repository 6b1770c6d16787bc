"""The drill measures what it says, keeps what docs/recovery.md promises, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from helpers import add, digest, elements
from servers import wait_for

sys.path.insert(0, os.path.join(ROOT, "scripts"))

from drills import page  # noqa: E402 (the path comes first)
from drills.__main__ import SCENARIOS, faults  # noqa: E402
from drills.load import Acknowledged, Kill, Writer, outcome, prepare, resumed, set_name  # noqa: E402
from drills.scenarios import Row  # noqa: E402

RECOVERY = Path(ROOT, "docs/recovery.md")


def row(**more):
    return Row(**{"event": "e", "kept": "k", "rto": 7.04, "rpo": 0.0, "lost": 0, "of": 12_345, **more})


def test_a_row_says_whether_the_objectives_are_kept():
    assert page.table([row()]).splitlines()[-1] == "| e | k | 7.0 s | 0 s | 0 of 12,345 writes | kept |"
    assert page.table([row(rto=301, rpo=61)]).endswith("| 301 s | 61 s | 0 of 12,345 writes | missed: RTO and RPO |")
    assert page.table([row(rto=300, rpo=60)]).endswith("| kept |")
    assert page.table([row(rpo=3.21, lost=7, by_age=True)]).endswith("| its age, 3.2 s here | 7 of 12,345 writes | kept, while it is less than 1 min old |")


def test_the_page_gets_the_new_table_and_keeps_its_text():
    text = f"above\n{page.BEGIN}\nold\n{page.END}\nbelow\n"
    new = page.replaced(text, "about", [row()])
    assert new.startswith(f"above\n{page.BEGIN}\nabout\n\n| what happens") and new.endswith(f"| kept |\n{page.END}\nbelow\n") and "old" not in new
    assert page.replaced(new, "about", [row()]) == new
    for wrong in ("no markers", text + text):
        with pytest.raises(ValueError):
            page.replaced(wrong, "about", [row()])


def test_a_slow_failover_and_a_lost_write_that_was_safe_are_faults():
    assert faults({name: row() for name in SCENARIOS}) == []
    assert len(faults({"failover-everysec": row(rto=30)})) == 1
    assert len(faults({"failover-always-wait": row(lost=1), "failover-lag-wait": row(lost=1)})) == 2
    assert faults({"failover-everysec": row(lost=1), "failover-lag": row(lost=9), "restart-always": row(rto=31)}) == []


class Members:
    """The server after a kill, as outcome() asks it."""

    def __init__(self, numbers, events):
        self.numbers, self.events = numbers, events

    def smembers(self, _):
        return {str(number).encode() for number in self.numbers}

    def execute_command(self, *_):
        return {b"events": self.events}


def test_what_was_lost_is_counted_write_by_write():
    """Write 3 was acknowledged and is gone; 4 was not acknowledged and is there, which is no loss and hides none; 5 was begun while
    the server died and answered by it; 6 is the first of the new one."""
    kill = Kill(sent=10.0, gone=10.2)
    writer = Writer(0, lambda: ("", 0), 0)
    writer.acknowledged = [Acknowledged(1, 1.5, 1), Acknowledged(2, 2.5, 2), Acknowledged(9, 9.25, 3), Acknowledged(10.1, 10.3, 5)]
    assert resumed([writer], kill) is None
    with pytest.raises(RuntimeError, match="no write was acknowledged"):
        outcome([writer], Members([1, 2, 4, 5], 4), kill)
    writer.acknowledged.append(Acknowledged(16, 16.5, 6))
    assert resumed([writer], kill) == 16.5
    found = outcome([writer], Members([1, 2, 4, 5, 6], 5), kill)
    assert (found.acknowledged, found.lost, found.lost_seconds, found.resumed_seconds) == (4, 1, 0.75, 6.5)
    with pytest.raises(RuntimeError, match="the cube has 4 events and the sets 5 members"):
        outcome([writer], Members([1, 2, 4, 5, 6], 4), kill)


def test_a_write_with_wait_is_acknowledged_when_a_replica_has_it_and_not_before(start, server_name):
    primary = start(server_name)
    replica = start(server_name, {"replicaof": f"127.0.0.1 {primary.port}"})
    writer = Writer(0, lambda: ("127.0.0.1", primary.port), replicas=1)
    with writer.connect() as client:
        prepare(client)
        wait_for("the replica", lambda: writer.write(client, 1))
        os.kill(replica.process.pid, signal.SIGSTOP)
        try:
            assert not writer.write(client, 2)
        finally:
            os.kill(replica.process.pid, signal.SIGCONT)
        assert writer.write(client, 3)
        assert client.smembers(set_name(0)) >= {b"2", b"3"}


def drill(request, tmp_path, *words):
    """The drill in a process of its own, all of whose files and servers are in `tmp_path`."""
    name = list(request.config.hll_servers)[-1]
    environment = {**os.environ, "PYTHONPATH": os.path.join(ROOT, "scripts"), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    line = [sys.executable, "-m", "drills", "--quick", "--server", request.config.hll_servers[name], "--module", request.config.option.module, *words]
    # Where the tests run in the background, SIGINT is ignored, and what they start would inherit that.
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def left(tmp_path):
    """Files and processes that belong to the drill."""
    files = [str(path) for path in tmp_path.iterdir()]
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                directory = os.readlink(entry / "cwd")
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(tmp_path) in line or str(tmp_path) in directory:
                lines.append(line)
    return files + lines


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_the_drill_runs_through_and_keeps_its_promises(request, tmp_path):
    """On one server, with short loads: the status is 1 where a failover takes 30 s or where `always` and WAIT lost a write."""
    before = RECOVERY.read_text(encoding="utf-8")
    chosen = [name for name in SCENARIOS if "everysec" not in name]
    running = drill(request, tmp_path, "--only", ",".join(chosen))
    said = running.communicate(timeout=390)[0]
    print(said)
    assert running.returncode == 0
    rows = [line for line in said.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(chosen)
    lagging = [line for line in rows if "behind" in line]
    assert [" 0 of " in line for line in lagging] == [False, True]  # what WAIT is for
    assert left(tmp_path) == []
    assert RECOVERY.read_text(encoding="utf-8") == before  # a quick run only prints


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_stopped_leaves_nothing_behind(request, tmp_path, how):
    running = drill(request, tmp_path, "--only", "failover-everysec-wait")
    try:
        wait_for("all to run", lambda: "acknowledged" in running.stdout.readline(), seconds=60)
        assert len(left(tmp_path)) > 6
        running.send_signal(how)
        said = running.communicate(timeout=60)[0]
    finally:
        running.kill()
    assert running.returncode == 130 and "everything that was started is gone" in said
    wait_for("the last process to end", lambda: left(tmp_path) == [], seconds=5)


def test_the_page_has_the_table_of_a_whole_drill_with_all_objectives_kept():
    """As the drill writes it; and every scenario is in it."""
    text = RECOVERY.read_text(encoding="utf-8")
    table = text.split(page.BEGIN)[1].split(page.END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(SCENARIOS)
    assert all(re.search(r"\| kept(, while it is less than 1 min old)? \|$", line) for line in rows)
    safe = [line for line in rows if "`appendfsync always` and WAIT 1" in line]
    assert len(safe) == 2 and all("| 0 of " in line for line in safe)


def test_an_rdb_file_becomes_the_data_of_a_server_with_an_append_only_file(start, newest):
    """The steps of the page: with the append-only file on from the beginning the server would start empty."""
    server = start(newest)
    add(server.c, "k", elements(0, 5000))
    before = digest(server.c, "k")
    server.c("SAVE")
    snapshot = os.path.join(server.directory, "dump.rdb")
    assert start(newest, {"appendonly": "yes"}, snapshot=snapshot).c("DBSIZE") == 0
    new = start(newest, {"appendonly": "no"}, snapshot=snapshot)
    assert digest(new.c, "k") == before
    new.c("CONFIG", "SET", "appendonly", "yes")
    wait_for("the file", lambda: [new.info(section="persistence")[f"aof_rewrite_{what}"] for what in ("in_progress", "scheduled")] == ["0", "0"])
    new.options["appendonly"] = "yes"
    new.restart()
    assert digest(new.c, "k") == before


def test_a_mistake_is_undone_up_to_a_second(start, server_name, tmp_path):
    """With aof-timestamp-enabled, and redis-check-aof, as the page has it."""
    server = start(server_name, {"appendonly": "yes", "aof-timestamp-enabled": "yes", "auto-aof-rewrite-percentage": "0"})
    c = server.c
    wait_for("the first file", lambda: server.info(section="persistence")["aof_rewrite_in_progress"] == "0")
    add(c, "k", elements(0, 5000))
    before = digest(c, "k")
    at = int(c("TIME")[0])
    wait_for("two seconds to pass", lambda: int(c("TIME")[0]) >= at + 2)
    c("FLUSHALL")
    add(c, "later", ["a"])
    server.stop()
    # Valkey 9.1 writes base files with a header that its own checker does not know; the last file of additions is enough.
    last = "appendonly.aof.1.incr.aof" if server_name == "valkey-9.1" else "appendonly.aof.manifest"
    checked = os.path.join(server.directory, "appendonlydir", last)
    checker = tmp_path / "redis-check-aof"  # the server's program under this name
    checker.symlink_to(os.path.realpath(server.binary))
    done = subprocess.run([checker, "--truncate-to-timestamp", str(at + 1), checked], capture_output=True, text=True, input="y\n")
    assert done.returncode == 0, done.stdout + done.stderr
    server.start()
    assert digest(server.c, "k") == before and server.c("EXISTS", "later") == 0
