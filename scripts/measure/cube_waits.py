"""How long others wait for what a cube is asked: the longest PING, alone and while 50,000 events a second come in.

    scripts/bench --cubes --parts waits [--events N] [--rounds N] [SERVER ...]

No answer is to hold the server longer than 5 ms. A client on a connection of its own sends PING after PING while another one asks
the same question again and again; told are the longest PING, and the longest time for which the server served nobody else: for a
command, or while another thread had its data, by the server's own measure (LATENCY, which counts from 1 ms on). A PING may also
wait for the machine's other work, as client, server, other thread and PING are four at two cores: the lines in which nothing is
asked, without and with events coming in, tell how much that is. Commands that the module does not have are left out, and named.
"""

import itertools
import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from .stream import CARDINALITIES, Plan, counted, create, feed, known_commands, long_answers, newest, start, told
from .waits import watched

RATE = 50_000
MOST_ROWS = 150      # of one MADD: as many as it takes where all of them come late
# A question is asked again and again for so long: that is many times for most, and once for what takes longer.
SECONDS = 1.0

# What is asked. {at} is the time of the newest event, {rows} are as many rows as an MADD may have, {number} is another one each time.
QUESTIONS = (
    ("nothing", "PING"),
    ("ADD", "HLL.CUBE.ADD shop {at} user:1 device value-0 channel value-1 country value-2 campaign value-3 category value-4 page /page/5 step view"),
    (f"MADD of {MOST_ROWS} rows", "HLL.CUBE.MADD shop FIELDS 7 device channel country campaign category page step ROWS {rows}"),
    ("COUNT", "HLL.CUBE.COUNT shop"),
    ("COUNT, 24 h", "HLL.CUBE.COUNT shop LAST 24h AT {at}"),
    ("COUNT, 30 d", "HLL.CUBE.COUNT shop LAST 30d AT {at}"),
    ("COUNT of a page, 30 d", "HLL.CUBE.COUNT shop LAST 30d AT {at} WHERE page /page/1"),
    ("COUNT of all categories but one, 30 d", "HLL.CUBE.COUNT shop LAST 30d AT {at} WHERE category NOT 1 value-0"),
    ("COUNT of all pages but one, 30 d", "HLL.CUBE.COUNT shop LAST 30d AT {at} WHERE page NOT 1 /page/0"),
    ("COUNT, 4 conditions by users, 30 d", "HLL.CUBE.COUNT shop LAST 30d AT {at} WHERE device value-0 WHERE channel value-0 "
     "WHERE country value-0 WHERE campaign value-0 USERS"),
    ("QUERY BY country, 30 d", "HLL.CUBE.QUERY shop LAST 30d AT {at} BY country"),
    ("QUERY BY category, days of 30 d", "HLL.CUBE.QUERY shop LAST 30d AT {at} BY category BUCKET 1d METRICS 1 unique LIMIT 300"),
    ("QUERY BY page, 30 d, by events", "HLL.CUBE.QUERY shop LAST 30d AT {at} BY page ORDER events LIMIT 100"),
    ("QUERY BY page, 24 h, all 10,000 rows", "HLL.CUBE.QUERY shop LAST 24h AT {at} BY page LIMIT 10000"),
    ("TOP 10 categories, 24 h", "HLL.CUBE.TOP shop category 10 LAST 24h AT {at}"),
    ("TOP 10 categories, 30 d", "HLL.CUBE.TOP shop category 10 LAST 30d AT {at}"),
    ("TOP 10 pages, 24 h", "HLL.CUBE.TOP shop page 10 LAST 24h AT {at}"),
    ("TOP 10 pages, 30 d", "HLL.CUBE.TOP shop page 10 LAST 30d AT {at}"),
    ("SERIES of hours, 48 h", "HLL.CUBE.SERIES shop BUCKET 1h LAST 48h AT {at}"),
    ("SERIES of days, 30 d", "HLL.CUBE.SERIES shop BUCKET 1d LAST 30d AT {at}"),
    ("STORE, 30 d", "HLL.CUBE.STORE stored shop LAST 30d AT {at}"),
    ("STORE of a country, 30 d", "HLL.CUBE.STORE stored shop LAST 30d AT {at} WHERE country value-0"),
    ("INFO", "HLL.CUBE.INFO shop"),
    ("FUNNEL of 4 steps, 30 d", "HLL.CUBE.FUNNEL shop step STEPS 4 view cart checkout buy LAST 30d AT {at}"),
    ("FUNNEL of 4 steps BY country, 30 d", "HLL.CUBE.FUNNEL shop step STEPS 4 view cart checkout buy BY country LAST 30d AT {at}"),
    ("RETENTION of 14 days", "HLL.CUBE.RETENTION shop EVERY 1d PERIODS 14"),
    ("LIFECYCLE of days, 30 d", "HLL.CUBE.LIFECYCLE shop EVERY 1d LAST 30d AT {at}"),
    ("CAMPAIGN BY channel, 30 d", "HLL.CUBE.CAMPAIGN shop step IMPRESSION view CLICK cart CONVERSION buy BY channel LAST 30d AT {at}"),
    ("ALTER VALUES", "HLL.CUBE.ALTER shop VALUES page 90000"),
    ("ALTER, a dimension more", "HLL.CUBE.ALTER shop ADD DIMENSION colour_{number} VALUES 10"),
)


def rows(at: int) -> list[object]:
    """Words of as many rows as an MADD may have, all of this time."""
    words: list[object] = []
    for _ in range(MOST_ROWS):
        words += [at, f"user:{random.randrange(200_000)}", *(f"value-{random.randrange(count)}" for count in CARDINALITIES.values()),
                  f"/page/{random.randrange(100_000)}", "view"]
    return words


NUMBERS = itertools.count()


def words_of(question: str, at: int) -> list[object]:
    words: list[object] = []
    for word in question.format(at=at, rows="{rows}", number=next(NUMBERS)).split():
        words += rows(at) if word == "{rows}" else [word]
    return words


@contextmanager
def coming_in(port: int, client: redis.Redis, plan: Plan) -> Iterator[float]:
    """Meanwhile further events are sent, so many a second, or as many as the machine bears: how many that was at first."""
    line = plan.program("add", "--port", port, "--first", plan.events, "--last", plan.events + 10**12, "--rate", RATE)
    sending = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # The program makes those events first that are there already.
        before = counted(client)
        while counted(client) == before and sending.poll() is None:
            time.sleep(0.01)
        before, begin = counted(client), time.perf_counter()
        time.sleep(3)
        yield (counted(client) - before) / (time.perf_counter() - begin)
        if sending.poll() is not None:
            raise RuntimeError("the program that sends events has ended before its time")
    finally:
        sending.kill()
        sending.wait()


class Watched:
    """A line of the table: longest PINGs of the rounds, and answers, in seconds; for how long the server was held, in milliseconds."""

    def __init__(self) -> None:
        self.pings: list[float] = []
        self.answers: list[float] = []
        self.held = 0
        self.elsewhere = False
        self.error = ""

    def __str__(self) -> str:
        if self.error:
            return f" {self.error} | | | |"
        pings = f" {statistics.median(self.pings) * 1e3:,.2f} | {max(self.pings) * 1e3:,.2f} |"
        answer = f"{statistics.median(self.answers) * 1e3:,.2f}" + (" (background)" if self.elsewhere else "")
        return f"{pings} {self.held or 'under 1'} | {answer} |"


def ask(port: int, client: redis.Redis, question: str, rounds: int) -> Watched:
    line = Watched()
    for _ in range(rounds):
        words = words_of(question, newest(client))
        client.execute_command("LATENCY", "RESET")
        before = long_answers(client)
        try:
            # What may be asked once only, is.
            seconds = 0.0 if "{number}" in question else SECONDS
            worst, answers = watched(port, lambda words=words: client.execute_command(*words), seconds)
        except redis.ResponseError as error:
            line.error = str(error)
            return line
        line.pings.append(worst)
        line.answers += answers
        line.elsewhere |= long_answers(client) > before
        line.held = max([line.held, *(int(event[3]) for event in client.execute_command("LATENCY", "LATEST"))])
    return line


def measure(name: str, plan: Plan, rounds: int) -> str:
    """The table of one server."""
    told(f"{name}, waits: filling a cube")
    columns: list[dict[str, Watched]] = [{}, {}]
    missing = []
    with start(name) as server, server.client() as client:
        known = known_commands(client) | {"ping"}
        client.config_set("latency-monitor-threshold", 1)
        create(client, plan)
        feed(server.port, plan, "madd")

        def all_of(column: dict[str, Watched], beside: str) -> None:
            for title, question in QUESTIONS:
                command = question.split()[0]
                if command.lower() not in known:
                    missing.append(command)
                else:
                    column[title] = ask(server.port, client, question, rounds)
                    told(f"{name}, {title}{beside}: {str(column[title]).strip(' |')}")

        all_of(columns[0], "")
        with coming_in(server.port, client, plan) as rate:
            all_of(columns[1], f", {rate:,.0f} events a second")
    head = " longest PING, median of the rounds | largest | server held for | answer |"
    lines = [f"{name}, a cube of {plan.events:,} events with pages, ms: alone, and while {rate:,.0f} events a second come in", "",
             f"| question |{head * 2}", "|---|" + "--:|" * 8]
    lines += [f"| {title} |{columns[0][title]}{columns[1][title]}" for title in columns[0]]
    if missing:
        lines += ["", f"Not in this module, and left out: {', '.join(dict.fromkeys(missing))}."]
    return "\n".join(lines)

