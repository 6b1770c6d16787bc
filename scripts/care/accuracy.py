"""Weekly: what sketches and cubes say, held against exact counts, through HLL.ACCURACY.TRACK.

The server judges and remembers; this program brings it the truth. That is either a Redis set with the same elements,
or numbers that another system knows, one line each on standard input:

    visitors:shop:2026-W10 <tab> 48211
    CUBE shop PERIOD yesterday WHERE device mobile <tab> 9120 <tab> shop mobile

A line has the sketch's key (or CUBE and what HLL.ACCURACY.TRACK takes behind it), the exact number, and where wanted
the context under which the report counts it.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from .connection import DONE, FOUND, CareError, connect, fields

ABOUT = "holds sketches and cubes against exact counts, with HLL.ACCURACY.TRACK"
EXAMPLE = "psql -At -F $'\\t' -c \"select 'visitors:' || day, count(distinct user_id) from visits group by day\" | scripts/caretaker accuracy --monitor hll:accuracy"


@dataclass(frozen=True)
class Question:
    words: tuple[str, ...]  # a key, or CUBE and what follows it
    truth: tuple[str, ...]  # EXACT and a number, or EXACTKEY and a key
    context: str | None

    @property
    def shown(self) -> str:
        return " ".join(self.words)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--monitor", required=True, metavar="KEY", help="the accuracy monitor; it is made where there is none")
    parser.add_argument("--sketch", metavar="KEY", help="one sketch, held against --set, in place of standard input")
    parser.add_argument("--set", metavar="KEY", help="the Redis set that holds the truth")
    parser.add_argument("--context", help="for samples that name none (default: the server's)")


def check(options: argparse.Namespace) -> str | None:
    if (options.sketch is None) != (options.set is None):
        return "--sketch and --set go together"
    return None


def read(lines: Iterator[str], context: str | None) -> Iterator[Question]:
    """The questions of the lines; raises CareError at the first that is none."""
    for at, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line:
            continue
        question, *rest = line.split("\t")
        if len(rest) not in (1, 2) or not rest[0].strip().isdecimal():
            raise CareError(f"line {at} is not a key, a tab and a whole number (and a tab and a context): {line!r:.100}")
        try:
            words = tuple(shlex.split(question)) if question.upper().startswith("CUBE ") else (question,)
        except ValueError as wrong:
            raise CareError(f"line {at}: {wrong}") from wrong
        yield Question(words, ("EXACT", rest[0].strip()), rest[1] if len(rest) == 2 else context)


def run(options: argparse.Namespace) -> int:
    if options.sketch is not None:
        questions = [Question((options.sketch,), ("EXACTKEY", options.set), options.context)]
    else:
        # All of it first: a query that breaks off in the middle of its result must not look like a good week.
        questions = list(read(iter(sys.stdin), options.context))
        if not questions:
            raise CareError("standard input had no lines; a query without a result is not a check")
    client = connect(options.url)
    levels = dict.fromkeys(("ok", "warning", "critical"), 0)
    refused = 0
    for question in questions:
        tail = () if question.context is None else ("CONTEXT", question.context)
        command = ("HLL.ACCURACY.TRACK", options.monitor, *question.words, *question.truth, *tail)
        if options.dry_run:
            print("would ask", shlex.join(command))
            continue
        try:
            found = fields(client.execute_command(*command))
        except redis.ResponseError as wrong:
            print(f"! {question.shown}: {wrong}")
            refused += 1
            continue
        level = str(found["level"])
        levels[level] += 1
        print(f"{'  ' if level == 'ok' else '! '}{question.shown}: {float(found['estimate']):,.0f} for {float(found['exact']):,.0f}, "
              f"{100 * float(found['error_rate']):.2f} % off, {level}")
    if options.dry_run:
        return DONE
    print(f"{levels['ok']} ok, {levels['warning']} warning, {levels['critical']} critical, {refused} refused")
    return DONE if levels["ok"] == len(questions) else FOUND
