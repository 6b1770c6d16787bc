"""A stream into a cube: each entry counts once, wherever consumers are killed."""

import signal
import subprocess
import sys
import time

import pytest
import redis
from crash import Fragile, Killed

from redis_hll import HLL
from redis_hll.cli.main import main
from redis_hll.sources.columns import Columns
from redis_hll.sources.streams import Consumer

MILLIS = 1_772_409_600_000
HOUR = 3_600_000
COLUMNS = Columns("user", None, (("step", "step"),), (("price", "price"),))


@pytest.fixture
def port(server):
    return server.port


def fill(port, number, step=0, first=0):
    """Entries of the stream; `step` milliseconds apart, so an hour each begins a slice each."""
    pipeline = redis.Redis(port=port).pipeline(transaction=False)
    for n in range(first, first + number):
        pipeline.xadd("events", {"user": f"u{n}", "step": ("look", "pay")[n % 2], "price": n % 10}, id=f"{MILLIS + n * step}-{n + 1}")
    pipeline.execute()


def make_cube(port):
    cube = HLL(redis.Redis(port=port)).cube("shop")
    cube.create(tiers=[("1h", "400d")], dimensions=["step"], measures=["price"])
    return cube


def consumer(client, name="one", count=100, **options):
    return Consumer(HLL(client), "events", "g", name, "shop", COLUMNS, count=count, **options)


def drain(consumer):
    consumer.begin()
    while consumer.step():
        pass
    return consumer.consumed


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("redis_hll.sources.streams.BLOCK", 1)


def exact(cube, number):
    found = cube.count()
    assert (found.events, found.measures["price"]) == (number, sum(n % 10 for n in range(number)))


@pytest.mark.parametrize("protocol", [2, 3])
def test_entries_become_events(port, protocol):
    fill(port, 250)
    cube = make_cube(port)
    client = redis.Redis(port=port, protocol=protocol)
    found = drain(consumer(client))
    assert (found.entries, found.counted.counted, found.batches, found.bad) == (250, 250, 3, 0)
    exact(cube, 250)
    assert client.xpending("events", "g")["pending"] == 0
    assert drain(consumer(client)).entries == 0


@pytest.mark.parametrize("step", [0, HOUR], ids=["one hour", "an hour each"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_call(server, port, step, after):
    """By the second consumer of the same name all is settled, and nothing twice."""
    ends, calls = False, 0
    while not ends:
        server.c("FLUSHALL")
        fill(port, 180, step)
        cube = make_cube(port)
        for client in (Fragile(redis.Redis(port=port), calls, after), redis.Redis(port=port)):
            try:
                drain(consumer(client, count=150))
                ends = ends or isinstance(client, Fragile)
            except Killed:
                pass
        exact(cube, 180)
        calls += 1
    assert calls > 8


@pytest.mark.parametrize("step", [0, HOUR], ids=["one hour", "an hour each"])
def test_killed_at_every_call_and_taken_over_by_one_that_is_killed(server, port, step, rng):
    """One is killed anywhere; the one that takes over is killed anywhere; a third takes over from both."""
    for calls in range(4, 22):
        server.c("FLUSHALL")
        fill(port, 180, step)
        cube = make_cube(port)
        for name, left in (("one", calls), ("two", rng.randrange(3, 25)), ("three", None)):
            client = redis.Redis(port=port)
            worker = consumer(client if left is None else Fragile(client, left, rng.random() < 0.5), name, 150)
            try:
                worker.begin()
                worker.take_over(0)
                drain(worker)
            except Killed:
                pass
        exact(cube, 180)
        assert redis.Redis(port=port).xpending("events", "g")["pending"] == 0


def test_a_slow_consumer_that_was_taken_over_counts_nothing_twice(port):
    """It has read a batch and hangs; another takes it over; then it goes on."""
    fill(port, 100)
    cube = make_cube(port)
    slow, other = consumer(redis.Redis(port=port)), consumer(redis.Redis(port=port), "two")
    slow.begin()
    entries = slow._entries(slow._client.xreadgroup("g", "one", {"events": ">"}, count=100))
    other.begin()
    assert other.take_over(0) == 100
    slow._settle(entries, slow._producer("one"))
    exact(cube, 100)
    assert slow.consumed.counted.duplicate == 100


def test_the_answer_of_a_read_is_lost(port):
    """The client asks once more and gets the next entries; both are one batch then."""
    fill(port, 60)
    cube = make_cube(port)
    worker = consumer(redis.Redis(port=port), count=30)
    worker.begin()
    worker._client.xreadgroup("g", "one", {"events": ">"}, count=30)
    assert worker.step() == 60
    exact(cube, 60)


def test_entries_that_cannot_be_counted_are_told_and_left_behind(port):
    client = redis.Redis(port=port)
    make_cube(port)
    client.xadd("events", {"user": "u1", "price": 1})
    client.xadd("events", {"name": "nobody"})
    client.xadd("events", {"user": "u2", "price": "much"})
    client.xadd("events", {"user": "u3", "step": "x" * 5000})
    gone = client.xadd("events", {"user": "u4"})
    client.xadd("events", {"user": "u5"})
    said = []
    worker = consumer(client, bad=lambda entry, reason: said.append(reason))
    worker.begin()
    client.xreadgroup("g", "one", {"events": ">"})
    client.xdel("events", gone)
    worker = consumer(client, bad=lambda entry, reason: said.append(reason))
    worker.begin()
    assert worker.consumed.counted.counted == 2 and worker.consumed.bad == 4
    assert "it has no user" in said and "the stream has it no more" in said and any("price is no number" in reason for reason in said)
    assert client.xpending("events", "g")["pending"] == 0


def test_killed_twice_by_the_system(port, tmp_path):
    fill(port, 40_000)
    cube = make_cube(port)
    command = [sys.executable, "-m", "redis_hll.cli.main", "consume", "events", "--group", "g", "--cube", "shop", "--consumer", "one",
               "--count", "50", "--once", "--url", f"redis://127.0.0.1:{port}"]
    for share in (5_000, 15_000):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        while process.poll() is None and (cube.count().events or 0) < share:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was in the middle"
    assert 15_000 <= cube.count().events < 40_000
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and " entries: " in done.stdout
    exact(cube, 40_000)


def test_it_ends_in_order_when_told_to(port, tmp_path):
    fill(port, 3000)
    cube = make_cube(port)
    command = [sys.executable, "-m", "redis_hll.cli.main", "consume", "events", "--group", "g", "--cube", "shop", "--url",
               f"redis://127.0.0.1:{port}"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and (cube.count().events or 0) < 3000:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and out == "3,000 entries: 3,000 counted, 0 known already, 0 too late, 0 bad\n"
    exact(cube, 3000)


def test_a_cube_that_is_not_there(port, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["consume", "events", "--group", "g", "--cube", "none", "--url", f"redis://127.0.0.1:{port}"]) == 1
    assert "there is no such key, make a cube" in capsys.readouterr().err
