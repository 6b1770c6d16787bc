"""`scripts/run --board`: what the demonstration loads is on the board, visits go on, and Ctrl-C leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / "target/venv/bin/python"  # of the scripts; the board runs in the one of these tests


@pytest.fixture
def begin(request, tmp_path):
    """begin(words ...) starts it and gives the process and the board's address."""
    pytest.importorskip("fastapi")
    if not PYTHON.exists():
        pytest.skip("target/venv is not there: scripts/run makes it")
    config, started = request.config, []

    def run(*words):
        server = next(iter(config.hll_servers.values()))
        line = [PYTHON, "-m", "demo", "--server", server, "--module", os.path.abspath(config.option.module), "--board", *words]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'clients/python/src'}", "BOARD_PYTHON": sys.executable,
                       "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
        # Where the tests run in the background, SIGINT is ignored, and the process would inherit that.
        process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        started.append(process)
        printed = []
        for text in process.stdout:
            printed.append(text)
            if found := re.search(r"^board of .* at (http\S+)$", text):
                return process, found[1], "".join(printed)
        raise AssertionError("".join(printed))
    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def asked(address, panel):
    with urllib.request.urlopen(f"{address}api/shop/{panel}", timeout=20) as answer:
        return json.load(answer)["answer"]


def ended(process, tmp_path):
    process.send_signal(signal.SIGINT)
    printed = process.stdout.read()
    assert process.wait(30) == 0 and "Stopping the board and the server." in printed, printed
    assert not list(tmp_path.glob("redis-hll-*"))


def test_a_made_up_shop_goes_on(begin, tmp_path):
    process, address, _ = begin("--events", "5000")
    first = asked(address, "30d")
    assert 3000 < first["events"] <= 5000
    end = time.monotonic() + 30
    while asked(address, "30d")["events"] == first["events"]:
        assert time.monotonic() < end, "nobody visits"
        time.sleep(0.5)
    ended(process, tmp_path)


def test_a_file_of_other_days_is_found_by_its_days(begin, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text("time,user,step\n" + "".join(f"2025-03-{1 + n % 20:02d}T10:00:00Z,u{n % 50},{('seen', 'bought')[n % 2]}\n" for n in range(600)))
    process, address, printed = begin(file, "--funnel", "seen,bought")
    assert "add #from=2025-03-01&to=2025-03-20 to the address" in printed
    assert asked(address, "figures?from=2025-03-01&to=2025-03-20")["events"] == 600
    ended(process, tmp_path)
