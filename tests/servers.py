"""Real servers with the module loaded: started on a free port in a directory of their own, watched, stopped."""

import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Client, ReplyError

ALL = ["redis-7.0", "redis-7.4", "redis-8.2", "valkey-8.1", "valkey-9.1"]

# What no log may ever hold: a crash report, a failed assertion, a Rust panic, our guard's word for a caught panic.
TROUBLE = re.compile(r"BUG REPORT|ASSERTION FAILED|panicked at|internal error|AddressSanitizer|Out Of Memory allocating")

START_SECONDS = 20

_ports = random.SystemRandom()  # not the tests' own seed: two runs at a time must not try the same ports


class DidNotStart(Exception):
    """The server ended, or stayed silent, instead of answering; the text holds the end of its log."""


def free_port():
    """A port that is free now, and free again 10,000 above it, where a cluster node listens too. Below the range from
    which the kernel serves outgoing connections."""
    while True:
        port = _ports.randrange(10_000, 22_000)
        with socket.socket() as s, socket.socket() as bus:
            try:
                s.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
                return port
            except OSError:
                continue


def _die_with_parent():
    """In the child: be killed when the test process dies, however it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_for(what, condition, seconds=20, every=0.02):
    """Poll until condition() is true and return its value; an AssertionError naming `what` when it never is."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(every)


class Server:
    """One server process. `options` are command line options (name -> value or list of values); `module=None` starts it bare."""

    def __init__(self, name, binary, module, options=None, module_args=(), directory=None):
        self.name, self.binary, self.module = name, binary, module
        self.options, self.module_args = dict(options or {}), list(module_args)
        self.directory = directory or tempfile.mkdtemp(prefix=f"hll-{name}-")
        self.log_path = os.path.join(self.directory, "server.log")
        self.process, self.port, self.clients, self._changed = None, None, [], {}
        self.log_mark, self._last_words = 0, ""
        self.expects_panic = False

    def __repr__(self):
        return f"<{self.name} on port {self.port}>"

    # Life

    def command_line(self):
        options = {
            "bind": "127.0.0.1",
            "dir": self.directory,
            "daemonize": "no",
            "save": "",
            "appendonly": "no",
            "enable-debug-command": "local",
            "enable-module-command": "local",
            "repl-diskless-sync-delay": "0",
            **self.options,
            "port": self.port,
        }
        line = [self.binary]
        for key, value in options.items():
            line.append(f"--{key}")
            line.extend(map(str, value) if isinstance(value, (list, tuple)) else [str(value)])
        if self.module:
            line += ["--loadmodule", self.module, *map(str, self.module_args)]
        return line

    def start(self, port=None):
        """`port` is one that it had before."""
        for _ in range(5):
            self.port = port or free_port()
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    self.command_line(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                    preexec_fn=_die_with_parent,
                )
            if self._wait_until_ready():
                return self
        raise DidNotStart(f"{self.name} found no free port in five tries")

    def _wait_until_ready(self):
        """True when it answers and has loaded its data; False when another process took the port."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                if "Address already in use" in self.log_tail(20):
                    return False
                raise DidNotStart(f"{self.name} did not start (exit {self.process.returncode}); its log ends:\n{self.log_tail(30)}")
            try:
                with Client(self.port, timeout=5) as c:
                    c("PING")
                    # Another server may have got the port first: make sure that this one is ours.
                    if int(self.info(c, "server")["process_id"]) != self.process.pid:
                        self.kill()
                        return False
                    return True
            except (OSError, ReplyError):
                time.sleep(0.01)
        raise DidNotStart(f"{self.name} was not ready within {START_SECONDS} s; its log ends:\n{self.log_tail(30)}")

    def stop(self, how="NOSAVE"):
        """Stop in the orderly way. `how`: SAVE writes dump.rdb, NOSAVE does not."""
        self.close_clients()
        if self.process and self.process.poll() is None:
            try:
                with Client(self.port, timeout=30) as c:
                    c("SHUTDOWN", how)
            except (OSError, ReplyError):
                pass  # the connection closes instead of answering
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not shut down within 20 s; its log ends:\n{self.log_tail(30)}")

    def kill(self):
        """Stop at once, as a power failure would, and wait until it is gone."""
        self.close_clients()
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def restart(self, how="NOSAVE"):
        self.stop(how)
        return self.start()

    def remove(self):
        self.kill()
        self._last_words = self.log_tail()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    # Talking to it

    def client(self, protocol=2, timeout=60):
        c = Client(self.port, protocol, timeout=timeout)
        self.clients.append(c)
        return c

    def close_clients(self):
        for c in self.clients:
            try:
                c.close()
            except OSError:
                pass
        self.clients = []

    @property
    def c(self):
        """A RESP2 connection for the tests that do not care about the protocol."""
        for c in self.clients:
            if getattr(c, "common", False):
                return c
        c = self.client()
        c.common = True
        return c

    def info(self, client=None, section="all"):
        """INFO as a dict of strings."""
        text = (client or self.c)("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def set(self, name, value):
        """CONFIG SET until the end of the test."""
        reply = self.c("CONFIG", "GET", name)
        assert reply, f"{self.name} has no setting {name}"
        self._changed.setdefault(name, reply[1])
        self.c("CONFIG", "SET", name, value)

    def reset(self):
        """Undo what a test left behind: settings, data, users."""
        for name, value in self._changed.items():
            self.c("CONFIG", "SET", name, value)
        self._changed = {}
        self.c("FLUSHALL", "SYNC")
        for user in self.c("ACL", "USERS"):
            if user != b"default":
                self.c("ACL", "DELUSER", user)

    # Its log

    def log(self, since=0):
        with open(self.log_path, "rb") as f:
            f.seek(since)
            return f.read().decode(errors="replace")

    def log_tail(self, lines=40):
        if not os.path.exists(self.log_path):
            return self._last_words
        return "\n".join(self.log().splitlines()[-lines:])

    def mark_log(self):
        self.log_mark = os.path.getsize(self.log_path)

    def trouble(self):
        """What went wrong on the server since mark_log(): a text, or None when nothing did."""
        found = None if self.expects_panic else TROUBLE.search(self.log(self.log_mark))
        if found:
            return f"the log of {self.name} holds {found.group()!r}"
        for c in self.clients:
            caught = [e for e in c.errors if "internal error" in e]
            if caught and not self.expects_panic:
                return f"{self.name} replied {caught[0]!r}"
        return None
