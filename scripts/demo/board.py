"""The board of the Python client (`redis-hll board`), a live page, on the data that was loaded."""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone

from redis_hll.times import instant

from .cube import KEY, Cube

PORT = 8321  # where it is free, so that the address is the same each time
DAYS_SHOWN = 30  # by the page itself
END_SECONDS = 10


class Board:
    """The process that serves the page. As a context manager it ends with it; Ctrl-C there is no error."""

    def __init__(self, port: int, cube: Cube, steps: Sequence[str]) -> None:
        python = os.environ.get("BOARD_PYTHON")
        if python is None:
            raise OSError("the board needs packages of its own, which scripts/run --board installs")
        self.line = [python, "-m", "redis_hll.cli.main", "board", "--url", f"redis://127.0.0.1:{port}", "--cube", KEY,
                     "--listen", f"127.0.0.1:{PORT if _is_free(PORT) else 0}"]
        if len(steps) > 1 and not any("," in step for step in steps):
            self.line += ["--steps", ",".join(steps)]
        self._first, self._last = instant(int(cube.facts.when.min())), cube.now

    def __enter__(self) -> "Board":
        print("\nThe board; Ctrl-C ends it and stops the server.", flush=True)
        if (datetime.now(timezone.utc) - self._last).days >= DAYS_SHOWN:
            print(f"The events are of other days than the last {DAYS_SHOWN}: add #from={self._first:%Y-%m-%d}&to={self._last:%Y-%m-%d} to the address.",
                  flush=True)
        # Without our PYTHONPATH: the page is complete only in the package as it was installed.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        # A session of its own: Ctrl-C reaches us first, who then end it in order.
        self._process = subprocess.Popen(self.line, env=environment, start_new_session=True)
        return self

    @property
    def status(self) -> int | None:
        """The exit status of a board that has ended by itself."""
        return self._process.poll()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
