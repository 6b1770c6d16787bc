"""The commands of accuracy monitors: estimates held against exact counts."""

from datetime import UTC

from ..replies import Fields, Reply
from ..results import AccuracyReport, Alert, ContextReport, Recommendation, Rows, Tracked, Trend
from ..times import Duration, PeriodName, Time, duration, millis
from . import Command, Text, Value, command, ok, option
from .cube import Where, conditions, time_range
from .sketch import rows


def track(monitor: Text, sketch: Text | None = None, *, cube: Text | None = None, last: Duration | None = None,
          range_at: Time | None = None, between: tuple[Time, Time] | None = None, period: PeriodName | None = None,
          where: Where | None = None, exact: int | None = None, exact_key: Text | None = None, context: str | None = None,
          at: Time | None = None) -> Command[Tracked]:
    """Holds the count of a sketch, or the users of a stretch of time of a cube (`range_at` is what `at` is in its questions),
    against `exact`, or against the number of members of the set `exact_key`. Raises KeyMissing."""
    if (sketch is None) == (cube is None):
        raise ValueError("give a sketch or a cube")
    if (exact is None) == (exact_key is None):
        raise ValueError("give exact or exact_key")
    words: list[Value] = [monitor]
    if cube is not None:
        words += ["CUBE", cube, *time_range(last, range_at, between, period), *conditions(where)]
    elif sketch is not None:
        if where or last or between or period:
            raise ValueError("a time and conditions belong to a cube")
        words.append(sketch)
    words += [*option("EXACT", exact), *option("EXACTKEY", exact_key), *option("CONTEXT", context),
              *option("AT", None if at is None else millis(at))]
    return command("HLL.ACCURACY.TRACK", words, read_tracked, key=monitor, movable=True, writes=True)


def report(monitor: Text, *, window: Duration | None = None, at: Time | None = None) -> Command[AccuracyReport]:
    """How far the estimates were off in the time `window` before `at`, and what to do about it. Raises KeyMissing."""
    words = [monitor, *option("WINDOW", None if window is None else duration(window)), *option("AT", None if at is None else millis(at))]
    return command("HLL.ACCURACY.REPORT", words, read_report, key=monitor)


def alerts(monitor: Text, *, count: int | None = None) -> Command[Rows[Alert]]:
    """The alerts that were raised, the newest first, 10 of them unless said otherwise. Raises KeyMissing."""
    return command("HLL.ACCURACY.ALERTS", [monitor, *option("COUNT", count)], rows(read_alert), key=monitor)


def reset(monitor: Text, *, context: str | None = None) -> Command[None]:
    """Forgets samples, levels and alerts, of one context or of all."""
    return command("HLL.ACCURACY.RESET", [monitor, *option("CONTEXT", context)], ok, key=monitor, writes=True)


def read_tracked(reply: Reply) -> Tracked:
    f = reply.fields()
    found = Tracked(f.text("context"), f.interval("estimate", ""), f.number("exact"), f.number("error_rate"), f.number("relative_error"),
                    f.text("level"), f.yes("within_bounds"))
    f.end()
    return found


def _read_trend(f: Fields) -> Trend:
    within = f.take("trend").fields()
    found = Trend(within.text("direction"), within.optional("earlier_error"), within.optional("later_error"))
    within.end()
    return found


def _read_context(reply: Reply) -> ContextReport:
    f = reply.fields()
    found = ContextReport(f.text("context"), f.text("level"), f.integer("samples"), f.optional("average_error"), f.optional("max_error"),
                          f.optional("relative_error"), f.optional("within_bounds"), f.optional("accuracy_score"), _read_trend(f))
    f.end()
    return found


def _read_recommendation(reply: Reply) -> Recommendation:
    f = reply.fields()
    found = Recommendation(f.text("context"), f.text("priority"), f.number("observed"), f.text("cause"), f.integer("precision"),
                           f.integer("memory_bytes"))
    f.end()
    return found


def read_report(reply: Reply) -> AccuracyReport:
    f = reply.fields()
    found = AccuracyReport(f.integer("samples"), f.optional("average_error"), f.optional("max_error"), f.optional("relative_error"),
                           f.optional("within_bounds"), f.optional("accuracy_score"), _read_trend(f),
                           rows(_read_context)(f.take("contexts")), rows(_read_recommendation)(f.take("recommendations")))
    f.end()
    return found


def read_alert(reply: Reply) -> Alert:
    f = reply.fields()
    found = Alert(f.time("at", UTC), f.text("context"), f.text("level"), f.number("estimate"), f.number("exact"), f.number("error_rate"),
                  f.number("threshold"))
    f.end()
    return found
