"""Asking the module: one function per question, the same answer whichever protocol version the client speaks.

A reply with fields is a map in RESP3 and a flat list of names and values in RESP2, and a double is a number or a
text; here both become dicts and floats.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import redis

from .load import key_bytes


class Interval(NamedTuple):
    """An estimate with its confidence interval; without HLL.ESTIMATE on the server the bounds are not known."""

    estimate: float
    lower: float | None = None
    upper: float | None = None

    def holds(self, exact: float) -> bool | None:
        if self.lower is None or self.upper is None:
            return None
        # As printed, in whole numbers, like the counts themselves.
        return round(self.lower) <= exact <= round(self.upper)

    def holds_rate(self, exact: float) -> bool | None:
        """The same of a fraction, which is printed in tenths of a percent."""
        if self.lower is None or self.upper is None:
            return None
        return round(self.lower, 3) <= round(exact, 3) <= round(self.upper, 3)


def as_map(reply: Any) -> dict[str, Any]:
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {as_text(name): value for name, value in pairs}


def as_text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _interval(fields: dict[str, Any], name: str = "estimate") -> Interval:
    return Interval(float(fields[name]), float(fields["lower"]), float(fields["upper"]))


def named(fields: Mapping[str, Any], name: str) -> Interval:
    """A figure whose bounds are called after it."""
    return Interval(*(float(fields[name + end]) for end in ("", "_lower", "_upper")))


class Answers:
    """The questions, for one connection."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._known: dict[str, bool] = {}

    def has(self, command: str) -> bool:
        """Whether the server has the command. The name goes in one piece so that the client parses no reply of COMMAND."""
        if command not in self._known:
            reply = self._client.execute_command("COMMAND INFO", command)
            values = list(reply.values()) if isinstance(reply, dict) else reply
            self._known[command] = any(values)
        return self._known[command]

    def _ask(self, command: str, *arguments: str | int | bytes) -> Any:
        return self._client.execute_command(command, *(key_bytes(a) if isinstance(a, str) else a for a in arguments))

    def count(self, keys: Sequence[str]) -> int:
        return int(self._ask("HLL.COUNT", *keys))

    def estimate(self, keys: Sequence[str]) -> Interval:
        if self.has("HLL.ESTIMATE"):
            return _interval(as_map(self._ask("HLL.ESTIMATE", len(keys), *keys)))
        return Interval(float(self.count(keys)))

    def method(self, keys: Sequence[str]) -> str:
        return as_text(as_map(self._ask("HLL.ESTIMATE", len(keys), *keys))["method"]) if self.has("HLL.ESTIMATE") else ""

    def precision(self, key: str) -> int | None:
        return int(as_map(self._ask("HLL.INFO", key))["precision"]) if self.has("HLL.INFO") else None

    def memory(self, key: str) -> int:
        """Bytes of the key with everything that belongs to it."""
        return int(self._ask("MEMORY", "USAGE", key, "SAMPLES", 0))

    def funnel(self, keys: Sequence[str]) -> list[tuple[Interval, float]]:
        """For each step: who did this and every earlier one, and the conversion from the previous step."""
        rows = [as_map(row) for row in self._ask("HLL.FUNNEL", len(keys), *keys)]
        return [(_interval(row, "users"), float(row["conversion"])) for row in rows]

    def retention(self, cohorts: Sequence[str], periods: Sequence[str]) -> list[list[Interval]]:
        """For each cohort and each period: who of the cohort was there."""
        reply = self._ask("HLL.RETENTION", "COHORTS", len(cohorts), *cohorts, "PERIODS", len(periods), *periods)
        table = []
        for cohort in map(as_map, reply):
            # The rows of a cohort are the one field that is a list.
            rows = next(value for name, value in cohort.items() if name != "cohort" and isinstance(value, list))
            table.append([_interval(as_map(row), "users") for row in rows])
        return table

    def overlap(self, keys: Sequence[str]) -> list[tuple[str, str, Interval, float]]:
        """For each pair: both keys, the size of the intersection, the Jaccard index."""
        rows = [as_map(row) for row in self._ask("HLL.OVERLAP", len(keys), *keys)]
        return [(as_text(r["first"]), as_text(r["second"]), _interval(r), float(r["jaccard"])) for r in rows]
