"""A primary, its replicas and three Sentinels, each in a directory of its own, all gone at the end."""

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from local_server import Server, ServerError, free_port
from redis.sentinel import MasterNotFoundError, Sentinel

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "redis.conf"
SENTINEL_CONFIG = ROOT / "deploy" / "sentinel.conf"
NAME = "hll"
SENTINELS = 3
SECONDS = 60


def wait_for(what: str, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError, MasterNotFoundError):
            if condition():
                return
        if time.monotonic() > end:
            raise ServerError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


@dataclass
class SentinelProcess:
    """One Sentinel, set up by deploy/sentinel.conf with other addresses."""

    binary: str
    primary: int
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None
    _directory: Path = Path()

    def __enter__(self) -> "SentinelProcess":
        self._directory = Path(tempfile.mkdtemp(prefix="redis-hll-sentinel-"))
        text = SENTINEL_CONFIG.read_text(encoding="utf-8")
        text, ports = re.subn(r"^port \d+$", f"port {self.port}", text, flags=re.M)
        text, monitors = re.subn(rf"^sentinel monitor {NAME} \S+ \d+ ", f"sentinel monitor {NAME} 127.0.0.1 {self.primary} ", text, flags=re.M)
        if (ports, monitors) != (1, 1):
            raise ServerError(f"{SENTINEL_CONFIG} does not have one line 'port' and one 'sentinel monitor {NAME}'")
        config = self._directory / "sentinel.conf"
        config.write_text(f"{text}\ndir {self._directory}\n", encoding="utf-8")
        with open(self._directory / "output.txt", "wb") as output:
            self._process = subprocess.Popen([self.binary, str(config), "--sentinel"], stdin=subprocess.DEVNULL,
                                             stdout=output, stderr=output, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()  # it has nothing that is worth keeping
                self._process.wait()
            shutil.rmtree(self._directory, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)


@dataclass
class Group:
    """The servers, the first of which begins as primary."""

    servers: list[Server]
    sentinel: Sentinel

    def find(self) -> tuple[str, int]:
        return self.sentinel.discover_master(NAME)

    def server_at(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)


@contextlib.contextmanager
def group(start: Callable[[dict[str, str]], Server], binary: str, options: dict[str, str], replicas: int) -> Iterator[Group]:
    """The whole of it, replicas in sync and Sentinels aware of each other."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(start(options))
        follow = {**options, "replicaof": f"127.0.0.1 {primary.port}"}
        servers = [primary, *(stack.enter_context(start(follow)) for _ in range(replicas))]
        with primary.client() as client:
            wait_for("the replicas", lambda: _in_sync(client, replicas))
        sentinels = [stack.enter_context(SentinelProcess(binary, primary.port)) for _ in range(SENTINELS)]
        known = Sentinel([("127.0.0.1", sentinel.port) for sentinel in sentinels], socket_timeout=1)
        for sentinel in sentinels:
            with redis.Redis(port=sentinel.port, socket_timeout=1) as client:
                wait_for("the Sentinels to find each other and the replicas", lambda client=client: _aware(client, replicas))
        yield Group(servers, known)


def _in_sync(client: redis.Redis, replicas: int) -> bool:
    about = client.info("replication")
    return all(about.get(f"slave{at}", {}).get("state") == "online" for at in range(replicas))


def _aware(client: redis.Redis, replicas: int) -> bool:
    about = client.info("sentinel")["master0"]
    return (about["status"], about["slaves"], about["sentinels"]) == ("ok", replicas, SENTINELS)
