"""What `scripts/run --board` starts: a shop that is going on, and its board; and that nothing is left when it is stopped."""

import re
import signal
import subprocess
import sys

import httpx

from conftest import ROOT
from servers import _die_with_parent, wait_for

SECONDS = 30
SHOP = ROOT / "clients" / "python" / "live_shop.py"


def test_visitors_come_until_it_is_stopped(request):
    server = next(iter(request.config.hll_servers.values()))
    process = subprocess.Popen([sys.executable, str(SHOP), "--server", server, "--module", request.config.option.module, "--listen", "127.0.0.1:0",
                                "--days", "2", "--visits", "500", "--pace", "5"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_die_with_parent)
    try:
        lines = []
        while not (found := re.search(r"http://127\S+", lines[-1] if lines else "")):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        with httpx.Client(base_url=found[0], timeout=SECONDS) as client:
            def events():
                return client.get("/api/shop/today").json()["answer"]["events"]

            before = events()
            wait_for("more events", lambda: events() > before, SECONDS, 0.2)
            port = int(re.search(r":(\d+)", client.get("/api/about").json()["server"].removeprefix("redis:"))[1])
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 130 and "removed" in rest
    assert not subprocess.run(["redis-cli", "-p", str(port), "PING"], capture_output=True, text=True, check=False).stdout


def test_options_are_checked_first():
    done = subprocess.run([sys.executable, str(SHOP), "--check", "--days", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--days" in done.stderr
    assert subprocess.run([sys.executable, str(SHOP), "--check"], check=False).returncode == 0
