"""Results by themselves: how they print, what they say, and how they become tables."""

import math
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from redis_hll import (CampaignReport, Change, Cohort, CohortPeriod, CubeCampaign, CubeFunnel, Estimate, FunnelStep, Interval, Overlap, Row,
                       Rows)
from redis_hll.commands.cube import Not, conditions, time_range
from redis_hll.times import duration, millis


def estimate(value, lower, upper, method="hip"):
    return Estimate(value, lower, upper, 0.95, 0.01, method)


@pytest.mark.parametrize(("figure", "text"), [
    (estimate(104213.4, 103102, 105324), "104,200 (± 1,100)"),
    (estimate(3.0, 3, 3, "exact"), "3 (exact)"),
    (estimate(52, 0, 850), "52 (0 .. 850)"),
    (estimate(1234567, 1204567, 1264567), "1,235,000 (± 30,000)"),
    (Interval(0.25, 0.22, 0.28), "0.250 (± 0.030)"),
    (Interval(0.5, 0.5, 0.5), "0.5"),
    (Interval(7.0, 7, 7), "7"),
    (Interval(1.5, 1.2, math.inf), "1.5 (1.2 .. inf)"),
])
def test_a_figure_prints_with_as_many_digits_as_mean_something(figure, text):
    assert str(figure) == f"{figure}" == text


def test_what_an_estimate_says():
    e = estimate(104213.4, 103102.2, 105324.8)
    assert (float(e), int(e), f"{e:,.0f}") == (104213.4, 104213, "104,213")
    assert e.holds(103102) and not e.holds(103101)
    assert e.above(100_000) and not e.above(104_000) and e.below(106_000)
    with pytest.raises(TypeError):
        assert e < estimate(1, 1, 1)
    assert sorted([e, estimate(1.0, 1, 1)], key=float)[0].estimate == 1
    rate = Interval(0.25, 0.22, 0.28)
    assert rate.holds(0.23) and not rate.holds(0.21) and not rate.holds(0)


def test_results_survive_pickling_and_do_not_change():
    step = FunnelStep("buy", Interval(1, 1, 1), Interval(1, 1, 1), None, None, None)
    rows = Rows([step])
    again = pickle.loads(pickle.dumps(rows))
    assert again == rows and type(again) is Rows
    with pytest.raises(AttributeError):
        step.step = "other"


STEP = FunnelStep("buy", Interval(9, 8, 10), Interval(4, 3, 5), Interval(0.5, 0.4, 0.6), None, None)


def test_flat_dicts():
    cohort = Cohort("may", Interval(10, 9, 11), Rows([CohortPeriod("june", Interval(5, 4, 6), None), CohortPeriod("july", Interval(2, 1, 3), None)]))
    assert Rows([cohort]).to_dicts() == [
        {"cohort": "may", "size": 10, "size_lower": 9, "size_upper": 11, "period": period, "users": users, "users_lower": users - 1,
         "users_upper": users + 1, "rate": None} for period, users in (("june", 5), ("july", 2))]
    assert Rows([CubeFunnel({"device": "m"}, Rows([STEP]))]).to_dicts()[0].items() >= {
        "device": "m", "step": "buy", "users": 4, "users_lower": 3, "conversion_upper": 0.6, "overall": None}.items()
    row = Row(None, {"page": "/"}, unique=Interval(2, 1, 3), events=5, measures={"revenue": 9.5}, per={"revenue": Interval(3, 2, 4)},
              changes={"events": Change(4, Interval(0.25, 0.25, 0.25))})
    assert Rows([row]).to_dicts()[0].items() >= {
        "page": "/", "unique_upper": 3, "events": 5, "revenue": 9.5, "per:revenue_lower": 2, "events_previous": 4, "events_change": 0.25}.items()
    report = CampaignReport(*[Interval(3, 2, 4)] * 3, None, None, None, None, None)
    assert Rows([CubeCampaign({}, report)]).to_dicts()[0]["unique_clicks_upper"] == 4
    assert Rows([Overlap("a", "b", Interval(1, 0, 2), None, None, None)]).to_dicts()[0]["estimate_upper"] == 2


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_frames(backend):
    pytest.importorskip(backend)
    rows = Rows([STEP, FunnelStep("view", Interval(9, 8, 10), Interval(9, 8, 10), Interval(1, 1, 1), Interval(1, 1, 1), None)])
    frame = rows.to_dataframe(backend)
    assert list(frame.columns)[:4] == ["step", "uniques", "uniques_lower", "uniques_upper"]
    assert list(frame["users"]) == [4, 9] and len(frame) == 2
    assert type(frame).__module__.startswith(backend)


def test_a_frame_without_a_library_says_what_to_install(monkeypatch):
    import redis_hll.frames

    def missing(name):
        raise ImportError(name)
    monkeypatch.setattr(redis_hll.frames.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"redis-hll\[pandas\]"):
        Rows([STEP]).to_dataframe()


def test_times():
    berlin = timezone(timedelta(hours=1))
    assert millis(datetime(1970, 1, 1, 1, tzinfo=berlin)) == 0
    assert millis("1970-01-01T01:00:00.250+01:00") == 250
    assert millis("1970-01-02T00:00:00Z") == 86_400_000 == millis(datetime(1970, 1, 2, tzinfo=UTC))
    assert millis(7) == 7
    for wrong in (datetime(2026, 1, 1), "2026-01-01", "yesterday", True):
        with pytest.raises(ValueError):
            millis(wrong)
    assert duration("1mo") == "1mo" and duration(timedelta(days=1)) == "86400000ms"
    assert time_range("1d", 5, None, None) == ["LAST", "1d", "AT", 5]
    for wrong in (("1d", None, None, "today"), (None, 5, None, None), (None, 5, (1, 2), None)):
        with pytest.raises(ValueError):
            time_range(*wrong)


def test_conditions():
    assert conditions({"a": "x", "b": ["x", "y"], "c": Not("x"), "n": 7}) == [
        "WHERE", "a", "x", "WHERE", "b", "IN", 2, "x", "y", "WHERE", "c", "NOT", 1, "x", "WHERE", "n", 7]
    assert conditions({"country": "IN"}) == ["WHERE", "country", "IN", 1, "IN"], "India is no word of questions"
