"""One Redis or Valkey server, in a directory of its own, gone without a trace when it is stopped.

The demonstration shows its answers on one, and the measurements take place in one.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import redis

START_SECONDS = 20


class ServerError(Exception):
    """The server cannot be started; the text says why."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A server process with the module loaded. As a context manager it stops on the way out, unless keep() was called."""

    def __init__(self, binary: str, config: Path, module: Path, port: int | None = None,
                 settings: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None,
                 snapshot: Path | None = None, start_seconds: float = START_SECONDS) -> None:
        """`settings` are the module's, `options` the server's own; the latter win over what the file says. A copy of the RDB
        file `snapshot` is loaded at the start, which with its data may take `start_seconds`."""
        self.binary, self.config, self.module = binary, config, module
        self.port = port or free_port()
        self.settings = settings or {}
        self.options = options or {}
        self.snapshot = snapshot
        self.start_seconds = start_seconds
        self.kept = False
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path()

    def __enter__(self) -> "Server":
        self.directory = Path(tempfile.mkdtemp(prefix="redis-hll-"))
        try:
            if self.snapshot is not None:
                shutil.copyfile(self.snapshot, self.directory / "dump.rdb")
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.kept:
            self._stop()

    def keep(self) -> None:
        self.kept = True

    def restart(self) -> None:
        """Ends the process and starts it anew; it loads what was saved in its directory."""
        self._end_process()
        self._start()

    def kill(self) -> None:
        """Ends the process at once, as a crash would; restart() starts it with what is on its disk."""
        os.kill(self.pid, signal.SIGKILL)
        self._end_process()

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=120)

    def _start(self) -> None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                raise ServerError(f"port {self.port} is in use; choose another with --port, or none for a free one")
        line = [self.binary, str(self.config), "--port", str(self.port), "--bind", "127.0.0.1",
                "--dir", str(self.directory), "--logfile", str(self.log),
                # Nothing here is worth keeping.
                "--save", "", "--appendonly", "no"]
        for name, value in self.options.items():
            line += [f"--{name}", value]
        line += ["--loadmodule", str(self.module)]
        # The module's settings are known only through the module, so they follow it.
        for name, value in self.settings.items():
            line += [f"--{name}", value]
        # A session of its own: Ctrl-C reaches us and not the server, so that it is stopped in order, or kept.
        with open(self.directory / "output.txt", "wb") as output:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                             start_new_session=True)
        end = time.monotonic() + self.start_seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise ServerError(f"{self.binary} did not start; it said:\n{self._last_words()}")
            try:
                with self.client() as client:
                    client.ping()  # INFO is answered even while the server is loading
                    if client.info("server")["process_id"] == self._process.pid:
                        return
                    raise ServerError(f"another server answers on port {self.port}")
            except redis.ConnectionError:  # what BusyLoadingError is, too
                time.sleep(0.05)
        raise ServerError(f"{self.binary} did not answer within {self.start_seconds} s; its log ends:\n{self._last_words()}")

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def _last_words(self) -> str:
        texts = [path.read_text(errors="replace") for path in (self.directory / "output.txt", self.log) if path.exists()]
        return "\n".join("    " + line for line in "\n".join(texts).splitlines()[-15:])

    def _stop(self) -> None:
        # A second Ctrl-C must not end the tidying up.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._end_process()
            if self.directory != Path() and os.path.isdir(self.directory):
                shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)

    def _end_process(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
