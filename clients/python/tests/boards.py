"""A board as its users start it, `redis-hll board`, and a browser that looks at it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from conftest import ROOT
from servers import _die_with_parent, wait_for

READY = re.compile(r"http://\S+/")
START_SECONDS = 30
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Board:
    """One board process; `config` is the text of its configuration file."""

    def __init__(self, url, directory, config="", cubes=("shop",)):
        file = Path(directory) / "board.toml"
        file.write_text(config, encoding="utf-8")
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "redis_hll.cli.main", "board", "--url", url, *(word for cube in cubes for word in ("--cube", cube)),
             "--listen", "127.0.0.1:0", "--config", str(file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_die_with_parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT / "clients" / "python" / "src")})
        threading.Thread(target=self._read, daemon=True).start()
        self.url = wait_for("the board's address", self._address, START_SECONDS)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def _address(self):
        assert self.process.poll() is None, "".join(self.lines)
        return next((found[0] for line in list(self.lines) if (found := READY.search(line))), None)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


def browser_path():
    """Debian's Chromium or its like, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def browser():
    """A headless browser. Raises RuntimeError where there is none."""
    path = browser_path()
    if path is None:
        raise RuntimeError("no Chromium on PATH (Debian's package chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as missing:
        raise RuntimeError("the package playwright is not installed") from missing
    with sync_playwright() as playwright:
        # As root its sandbox cannot be had; the pages it sees are ours.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"])
        yield chromium
        chromium.close()
