"""The commands of cubes: users and events by time and dimensions in one key.

What many of them take:

* the time: `last="7d"` (up to `at`, by default the clock of the server), `between=(a, b)`, or `period="lastmonth"`;
* `where={"country": "DE", "device": ["mobile", "tablet"], "page": Not("/")}`: conditions on one event;
* `confidence` of the intervals, a fraction from 0.5 to 0.9999, 0.95 if it is left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal, TypeVar

from ..replies import Fields, Reply
from ..results import (Answer, CampaignReport, Change, ColumnInfo, Counted, CubeCampaign, CubeCohort, CubeCount, CubeFunnel, CubeInfo,
                       CubePeriod, Interval, LifecycleRow, QueryResult, Row, Rows, TierInfo)
from ..times import Duration, PeriodName, Time, duration, instant, millis, zone
from . import Command, Stamp, Text, Value, changed, command, listed, ok, option, word
from .sketch import CAMPAIGN, Hash, read_step, rows

R = TypeVar("R")
Late = Literal["error", "drop"]
Metric = str


class Not(tuple[Value, ...]):
    """None of these values, and some value: `where={"page": Not("/")}`."""

    __slots__ = ()

    def __new__(cls, *values: Value) -> "Not":
        return super().__new__(cls, values)


Condition = Value | Sequence[Value] | Not
Where = Mapping[str, Condition]


@dataclass(frozen=True, slots=True)
class Tier:
    """Slices of one length and how long they are kept, in the server's words: `Tier("1d", "90d")`."""

    slice: str
    retention: str
    precision: int | None = None


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something an event may have a value of. So many `values` are kept apart; `user_level` belongs to the user."""

    name: str
    values: int | None = None
    precision: int | None = None
    user_level: bool = False

    def words(self) -> list[Value]:
        return ["DIMENSION", self.name, *option("PRECISION", self.precision), *option("VALUES", self.values),
                *(["USERLEVEL"] if self.user_level else [])]


@dataclass(frozen=True, slots=True)
class Group:
    """Two to four dimensions whose combinations are counted."""

    dimensions: tuple[str, ...]
    values: int | None = None

    def words(self) -> list[Value]:
        return ["GROUP", ",".join(self.dimensions), *option("VALUES", self.values)]


def _dimension(given: str | Dimension) -> Dimension:
    return given if isinstance(given, Dimension) else Dimension(given)


def _group(given: str | Sequence[str] | Group) -> Group:
    if isinstance(given, Group):
        return given
    return Group(tuple(given.split(",")) if isinstance(given, str) else tuple(given))


def create(key: Text, *, tiers: Iterable[Tier | tuple[str, str]] = (), precision: int | None = None,
           dimensions: Iterable[str | Dimension] = (), groups: Iterable[str | Sequence[str] | Group] = (), measures: Iterable[str] = (),
           new: int | None = None, timezone: str | None = None, week_start: Literal["mon", "sun", "sat"] | None = None,
           max_bytes: int | None = None, hash: Hash | None = None) -> Command[None]:
    """Creates an empty cube. What can be asked is decided here; `new` is the precision of the sketch that knows who was
    ever there. Raises KeyExists."""
    words: list[Value] = [key, *option("PRECISION", precision)]
    for tier in tiers:
        tier = tier if isinstance(tier, Tier) else Tier(*tier)
        words += ["TIER", tier.slice, tier.retention, *option("PRECISION", tier.precision)]
    # An option of a tier, a dimension or a group stands right behind it, so the cube's own precision stands before all.
    for dimension in dimensions:
        words += _dimension(dimension).words()
    for group in groups:
        words += _group(group).words()
    for measure in measures:
        words += ["MEASURE", measure]
    words += [*option("NEW", new), *option("TIMEZONE", timezone), *option("WEEKSTART", week_start and week_start.upper()),
              *option("MAXBYTES", max_bytes), *option("HASH", hash and hash.upper())]
    return command("HLL.CUBE.CREATE", words, ok, key=key, writes=True)


def alter(key: Text, *, add: Dimension | Group | None = None, add_measure: str | None = None, retention: tuple[str, str] | None = None,
          values: tuple[str, int] | None = None) -> Command[None]:
    """Changes one thing: `add` a Dimension or a Group, `add_measure`, `retention=("1d", "180d")` of the tier with such slices,
    or `values=("page", 5000)` that stay apart. Raises ValueError where it is not exactly one."""
    if sum(item is not None for item in (add, add_measure, retention, values)) != 1:
        raise ValueError("one thing at a time: give one of add, add_measure, retention and values")
    words: list[Value] = [key]
    if add is not None:
        words += ["ADD", *add.words()]
    elif add_measure is not None:
        words += ["ADD", "MEASURE", add_measure]
    elif retention is not None:
        words += ["RETENTION", *retention]
    elif values is not None:
        words += ["VALUES", *values]
    return command("HLL.CUBE.ALTER", words, ok, key=key, writes=True)


def add(key: Text, element: Value, /, at: Time | None = None, *, event_id: Value | None = None, producer: str | None = None,
        late: Late = "error", fields: Mapping[str, Value | None] | None = None, **values: Value | None) -> Command[bool]:
    """Counts an event: `cube.add("u:17", step="buy", revenue=59.9)`. False if it was counted before or came too late with
    `late="drop"`. `at` is now if it is left out; `fields` takes names that are no keywords.

    Every event has an id, so that a client that sends it twice because an answer was lost counts it once. `event_id` is your
    own, such as the message's in a queue, and then the same event may come again from anywhere with the same `producer`.
    """
    words: list[Value] = [key, "LATE", late.upper(), "*" if at is None else millis(at), element]
    for name, value in {**(fields or {}), **values}.items():
        if value is not None:
            words += [name, value]
    stamp = Stamp(producer=None if producer is None else word(producer), id=None if event_id is None else word(event_id))
    return command("HLL.CUBE.ADD", words, changed, key=key, writes=True, stamp=stamp)


def madd(key: Text, fields: Sequence[str], packed: Sequence[bytes], *, producer: str | None = None, id: Value | None = None,
         late: Late = "error") -> Command[Counted]:
    """Counts rows of a timestamp, an element and a value for each of the fields, all of them or on an error none. `packed` has
    the words of all rows; `add_many` makes them and sees to the limits of one command."""
    head = [key, "LATE", late.upper(), *listed("FIELDS", fields), "ROWS"]
    stamp = Stamp(producer=None if producer is None else word(producer), id=None if id is None else word(id))
    return Command("HLL.CUBE.MADD", (*map(word, head), *packed), read_counted, word(key), writes=True, stamp=stamp)


def _condition(dimension: str, condition: Condition) -> list[Value]:
    if isinstance(condition, Not):
        return [dimension, *listed("NOT", condition)]
    if isinstance(condition, (str, bytes, int, float)):
        # India's code is a word of questions too.
        return [dimension, "IN", 1, condition] if word(condition).upper() in (b"IN", b"NOT") else [dimension, condition]
    return [dimension, *listed("IN", condition)]


def conditions(where: Where | None, name: str = "WHERE") -> list[Value]:
    """The words of conditions."""
    return [item for dimension, condition in (where or {}).items() for item in (name, *_condition(dimension, condition))]


def time_range(last: Duration | None, at: Time | None, between: tuple[Time, Time] | None, period: PeriodName | None) -> list[Value]:
    """The words of a stretch of time. Raises ValueError where more than one is given, or `at` without what it belongs to."""
    if sum(item is not None for item in (last, between, period)) > 1:
        raise ValueError("give one of last, between and period")
    if at is not None and last is None and period is None:
        raise ValueError("at belongs to last or to period")
    end = option("AT", None if at is None else millis(at))
    if last is not None:
        return ["LAST", duration(last), *end]
    if between is not None:
        return ["FROM", millis(between[0]), "TO", millis(between[1])]
    return [] if period is None else ["PERIOD", period.upper(), *end]


def _dimensions(by: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if by is None else (by,) if isinstance(by, str) else tuple(by)


def _order(order: str | tuple[str, str] | None) -> list[Value]:
    if order is None:
        return []
    return ["ORDER", order] if isinstance(order, str) else ["ORDER", order[0], order[1].upper()]


Order = str | tuple[Metric, Literal["asc", "desc"]]


def count(key: Text, *, last: Duration | None = None, at: Time | None = None, between: tuple[Time, Time] | None = None,
          period: PeriodName | None = None, where: Where | None = None, users: bool = False,
          confidence: float | None = None) -> Command[CubeCount]:
    """Users, events, new users and sums of a stretch of time. With `users`, several conditions are met by one user in
    whatever events, and not by one event."""
    words = [key, *time_range(last, at, between, period), *conditions(where), *(["USERS"] if users else []),
             *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.COUNT", words, read_count, key=key)


def query(key: Text, *, last: Duration | None = None, at: Time | None = None, between: tuple[Time, Time] | None = None,
          period: PeriodName | None = None, where: Where | None = None, by: str | Sequence[str] | None = None,
          bucket: str | None = None, metrics: Sequence[Metric] | None = None, order: Order | None = None, limit: int | None = None,
          offset: int | None = None, fill_zero: bool = False, timezone: str | None = None,
          compare: Literal["previous"] | tuple[Time, Time] | Where | None = None, users: bool = False,
          confidence: float | None = None) -> Command[QueryResult]:
    """A row for each bucket of time and each value (or each pair of values) of the dimensions `by`. `metrics` are unique,
    events, new, returning, a measure, `avg:<measure>` and `per:<measure>`. `compare` sets them beside the previous period,
    another time, or another condition: `compare={"variant": "b"}`."""
    words = [key, *time_range(last, at, between, period), *conditions(where)]
    named = _dimensions(by)
    if named:
        words += ["BY", *named]
    words += option("BUCKET", bucket)
    if metrics is not None:
        words += listed("METRICS", metrics)
    words += [*_order(order), *option("LIMIT", limit), *option("OFFSET", offset), *(["FILL", "ZERO"] if fill_zero else []),
              *option("TIMEZONE", timezone)]
    if isinstance(compare, str):
        words += ["COMPARE", compare.upper()]
    elif isinstance(compare, Mapping):
        words += ["COMPARE", *conditions(compare)]
    elif compare is not None:
        words += ["COMPARE", "FROM", millis(compare[0]), "TO", millis(compare[1])]
    words += [*(["USERS"] if users else []), *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.QUERY", words, reads_query(named), key=key)


def top(key: Text, dimension: str, n: int = 10, *, last: Duration | None = None, at: Time | None = None,
        between: tuple[Time, Time] | None = None, period: PeriodName | None = None, where: Where | None = None,
        order: Order | None = None, confidence: float | None = None) -> Command[QueryResult]:
    """The n values of a dimension with the most users, or the most of another metric."""
    words = [key, dimension, n, *time_range(last, at, between, period), *conditions(where), *_order(order),
             *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.TOP", words, reads_query((dimension,)), key=key)


def series(key: Text, bucket: str, *, last: Duration | None = None, at: Time | None = None, between: tuple[Time, Time] | None = None,
           period: PeriodName | None = None, where: Where | None = None, confidence: float | None = None) -> Command[QueryResult]:
    """A row for each bucket of time, those without events included."""
    words = [key, "BUCKET", bucket, *time_range(last, at, between, period), *conditions(where), *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.SERIES", words, reads_query(()), key=key)


def funnel(key: Text, dimension: str, steps: Sequence[Value], *, by: str | None = None, last: Duration | None = None,
           at: Time | None = None, between: tuple[Time, Time] | None = None, period: PeriodName | None = None,
           where: Where | None = None, confidence: float | None = None) -> Command[Answer[CubeFunnel]]:
    """Who had events of each step (2 to 8 values of a dimension) and of every one before it, in whatever order."""
    words = [key, dimension, *listed("STEPS", steps), *option("BY", by), *time_range(last, at, between, period), *conditions(where),
             *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.FUNNEL", words, answers(lambda reply, _: read_funnel(reply, _dimensions(by))), key=key)


def retention(key: Text, every: str, periods: int, *, cohort: Where | None = None, returned: Where | None = None,
              by: str | None = None, last: Duration | None = None, at: Time | None = None, between: tuple[Time, Time] | None = None,
              period: PeriodName | None = None, confidence: float | None = None) -> Command[Answer[CubeCohort]]:
    """Who came for the first time in each period (with an event that meets `cohort`), and who of them was there in those that
    followed (with one that meets `returned`)."""
    words = [key, "EVERY", every, "PERIODS", periods, *conditions(cohort, "COHORT"), *conditions(returned, "RETURN"), *option("BY", by),
             *time_range(last, at, between, period), *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.RETENTION", words, answers(lambda reply, where: read_cohort(reply, where, _dimensions(by))), key=key)


def lifecycle(key: Text, every: str, *, last: Duration | None = None, at: Time | None = None, between: tuple[Time, Time] | None = None,
              period: PeriodName | None = None, where: Where | None = None,
              confidence: float | None = None) -> Command[Answer[LifecycleRow]]:
    """Of each period who is new, who stayed, who came back after a pause, and who stayed away."""
    words = [key, "EVERY", every, *time_range(last, at, between, period), *conditions(where), *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.LIFECYCLE", words, answers(read_lifecycle), key=key)


def campaign(key: Text, dimension: str, *, impression: Value, click: Value, conversion: Value, cost: str | None = None,
             revenue: str | None = None, by: str | None = None, last: Duration | None = None, at: Time | None = None,
             between: tuple[Time, Time] | None = None, period: PeriodName | None = None, where: Where | None = None,
             confidence: float | None = None) -> Command[Answer[CubeCampaign]]:
    """Reach, rates and costs from events: three values of a dimension say what an event is, `cost` and `revenue` are measures."""
    words = [key, dimension, "IMPRESSION", impression, "CLICK", click, "CONVERSION", conversion, *option("COST", cost),
             *option("REVENUE", revenue), *option("BY", by), *time_range(last, at, between, period), *conditions(where),
             *option("CONFIDENCE", confidence)]
    return command("HLL.CUBE.CAMPAIGN", words, answers(lambda reply, _: read_campaign(reply, _dimensions(by))), key=key)


def store(key: Text, destination: Text, *, last: Duration | None = None, at: Time | None = None,
          between: tuple[Time, Time] | None = None, period: PeriodName | None = None, where: Where | None = None) -> Command[None]:
    """Stores the users of a stretch of time as a sketch under `destination`, replacing what is there."""
    words = [destination, key, *time_range(last, at, between, period), *conditions(where)]
    return command("HLL.CUBE.STORE", words, ok, key=key, writes=True)


def info(key: Text) -> Command[CubeInfo]:
    """What a cube is made for, holds and takes. Raises KeyMissing."""
    return command("HLL.CUBE.INFO", [key], read_info, key=key)


# ---- replies


def read_counted(reply: Reply) -> Counted:
    f = reply.fields()
    found = Counted(f.integer("counted"), f.integer("duplicate"), f.integer("late"))
    f.end()
    return found


def _known(f: Fields, name: str) -> Interval | None:
    """A figure with bounds, if it is there at all."""
    return f.optional_interval(name) if name in f else None


def read_count(reply: Reply) -> CubeCount:
    f = reply.fields()
    head, _ = _head(f)
    unique, new, events = _known(f, "unique"), _known(f, "new"), f.whole("events") if "events" in f else None
    confidence, precision = f.number("confidence"), f.integer("precision")
    # What is left are the measures, named by those who made the cube.
    return CubeCount(unique=unique, events=events, new=new, measures={name: f.optional(name) for name in f}, confidence=confidence,
                     precision=precision, **head)


def _head(f: Fields) -> tuple[dict[str, Any], tzinfo]:
    """What all answers say of themselves, and the zone of their times."""
    name = f.text("zone")
    where = zone(name)
    return {"from_": f.time("from", where), "to": f.time("to", where), "zone": name, "method": f.text("method"),
            "other_events": round(f.number("other_events"))}, where


def answers(read: Callable[[Reply, tzinfo], R]) -> Callable[[Reply], Answer[R]]:
    """The reader of an answer whose rows are read so."""
    def parse(reply: Reply) -> Answer[R]:
        f = reply.fields()
        head, where = _head(f)
        found = Answer(rows=Rows(read(row, where) for row in f.take("rows").items()), **head)
        f.end()
        return found
    return parse


def reads_query(by: tuple[str, ...]) -> Callable[[Reply], QueryResult]:
    """The reader of rows by these dimensions."""
    def parse(reply: Reply) -> QueryResult:
        f = reply.fields()
        head, where = _head(f)
        compared = "wide" in f
        found = QueryResult(
            rows=Rows(_read_row(row, where, by, compared) for row in f.take("rows").items()), precision=f.integer("precision"),
            previous_from=f.optional_time("previous_from", where) if "previous_from" in f else None,
            previous_to=f.optional_time("previous_to", where) if "previous_to" in f else None,
            wide=compared and f.integer("wide") == 1, **head)
        f.end()
        return found
    return parse


def _read_by(f: Fields, by: tuple[str, ...]) -> dict[str, str]:
    return {name: f.text(name) for name in by}


def _at_least(f: Fields) -> bool:
    return "at_least" in f and f.integer("at_least") == 1


def _read_row(reply: Reply, where: tzinfo, by: tuple[str, ...], compared: bool) -> Row:
    f = reply.fields()
    bucket = f.time("bucket", where) if "bucket" in f else None
    values, at_least = _read_by(f, by), _at_least(f)
    changes = {name: _read_change(f, name) for name in f if compared and f"{name}_previous" in f}
    figures = {name: _known(f, name) for name in ("unique", "new", "returning")}
    events = f.whole("events") if "events" in f else None
    per = {name.removeprefix("per:"): f.optional_interval(name) for name in f
           if name.startswith("per:") and not name.endswith(("_lower", "_upper"))}
    # What is left is named by those who made the cube, so there is no field that this package could not know.
    return Row(bucket, values, events=events, measures={name: f.optional(name) for name in f}, per=per, changes=changes,
               at_least=at_least, **figures)


def _read_change(f: Fields, name: str) -> Change:
    two_sides = f"{name}_p_value" in f
    return Change(f.optional(f"{name}_previous"), f.optional_interval(f"{name}_change"),
                  f.optional_interval(f"{name}_difference") if two_sides else None, f.optional(f"{name}_p_value") if two_sides else None)


def read_funnel(reply: Reply, by: tuple[str, ...]) -> CubeFunnel:
    f = reply.fields()
    found = CubeFunnel(_read_by(f, by), rows(read_step)(f.take("steps")), _at_least(f))
    f.end()
    return found


def read_cohort(reply: Reply, where: tzinfo, by: tuple[str, ...]) -> CubeCohort:
    f = reply.fields()
    found = CubeCohort(_read_by(f, by), f.time("cohort", where), f.optional_time("earlier_from", where), f.optional_interval("size"),
                       Rows(_read_period(period, where) for period in f.take("periods").items()), _at_least(f))
    f.end()
    return found


def _read_period(reply: Reply, where: tzinfo) -> CubePeriod:
    f = reply.fields()
    found = CubePeriod(f.integer("period"), f.time("bucket", where), f.optional_interval("users", ""), f.optional_interval("rate"))
    f.end()
    return found


def read_lifecycle(reply: Reply, where: tzinfo) -> LifecycleRow:
    f = reply.fields()
    found = LifecycleRow(f.time("bucket", where), f.optional_interval("first_in_kept"), f.optional_interval("retained"),
                         f.optional_interval("resurrected"), f.optional_interval("dormant"), f.optional_time("earlier_from", where))
    f.end()
    return found


def read_campaign(reply: Reply, by: tuple[str, ...]) -> CubeCampaign:
    f = reply.fields()
    values, at_least = _read_by(f, by), _at_least(f)
    report = CampaignReport(*(f.interval(name) for name in CAMPAIGN[:3]), *(f.optional_interval(name) for name in CAMPAIGN[3:]))
    f.end()
    return CubeCampaign(values, report, at_least)


def read_info(reply: Reply) -> CubeInfo:
    f = reply.fields()
    name = f.text("zone")
    where = zone(name)
    found = CubeInfo(
        tiers=Rows(_read_tier(item, where) for item in f.take("tiers").items()),
        columns=Rows(_read_column(item, where) for item in f.take("columns").items()),
        measures=tuple(item.text() for item in f.take("measures").items()),
        measures_since=tuple(None if item.value is None else instant(item.integer(), where) for item in f.take("measures_since").items()),
        new_precision=f.optional_integer("new_precision"), zone=name, hash=f.text("hash"), newest=f.optional_time("newest", where),
        late=f.integer("late"), too_late=f.integer("too_late"), duplicates=f.integer("duplicates"), waiting=f.integer("waiting"),
        max_bytes=f.optional_integer("max_bytes"), memory_bytes=f.integer("memory_bytes"))
    f.end()
    return found


def _read_tier(reply: Reply, where: tzinfo) -> TierInfo:
    f = reply.fields()
    found = TierInfo(f.text("slice"), f.text("retention"), f.integer("slices"), f.integer("bytes"), f.optional_time("oldest", where),
                     f.optional_time("newest", where))
    f.end()
    return found


def _read_column(reply: Reply, where: tzinfo) -> ColumnInfo:
    f = reply.fields()
    found = ColumnInfo(f.text("name"), f.integer("values"), f.optional_integer("cap"), f.integer("precision"),
                       f.optional_time("since", where), f.integer("other_events"), f.integer("bytes"))
    f.end()
    return found
