"""The board's pure parts: views and their addresses, what is shown of a cube, what may be asked how often, and words that can be copied."""

import random
import shlex
from datetime import date, datetime

import pytest

from redis_hll.board import config, cost, discovery, hub, views
from redis_hll.commands import cube
from redis_hll.results import ColumnInfo, CubeInfo, Interval, Rows, TierInfo

DAY = 86_400_000
TIERS = [("5m", "3h"), ("1h", "48h"), ("1d", "90d"), ("1w", "53w"), ("1mo", "36mo")]


def info(dimensions=("step", "device", "channel", "page"), groups=("step,device", "step,channel"), measures=("cost", "revenue"), tiers=TIERS, new=14):
    columns = [ColumnInfo(name, 3, None, 14, None, 0, 100) for name in ("", *dimensions, *groups)]
    return CubeInfo(Rows(TierInfo(slice_, kept, 1, 100, None, None) for slice_, kept in tiers), Rows(columns), tuple(measures), (None,) * len(measures), new,
                    "Europe/Berlin", "xxh3", None, 0, 0, 0, 0, None, 1000)


def shown(settings=None, values=None, **options):
    return discovery.layout("shop", settings or config.CubeSettings("shop"), info(**options), values or ["landing", "purchase", "product_view", "checkout", "add_to_cart"])


# ---- views


def test_the_same_view_is_the_same_text():
    one = views.parse("7d", None, None, ["page:/", "device:b", "device:a"], True)
    other = views.parse("7d", None, None, ["device:a", "device:b", "page:/", "device:a"], True)
    assert one == other and str(one) == "range=7d where=device:a where=device:b where=page:/ compare=previous"
    assert one.where == {"device": ["a", "b"], "page": "/"}
    assert str(views.parse(None, date(2026, 3, 1), date(2026, 3, 2), ["page!:a:b"], False)) == "from=2026-03-01 to=2026-03-02 where=page!:a:b compare=off"
    assert views.parse(None, None, None, ["page!:a:b"], False).where["page"] == cube.Not("a:b")


@pytest.mark.parametrize("first, last, hours", [("2026-03-28", "2026-03-28", 24), ("2026-03-29", "2026-03-29", 23), ("2026-10-25", "2026-10-25", 25)])
def test_days_begin_and_end_with_the_clock_of_the_wall(first, last, hours):
    view = views.parse(None, date.fromisoformat(first), date.fromisoformat(last), [], True)
    begin, end = view.stretch("Europe/Berlin")["between"]
    assert end - begin == hours * 3_600_000


@pytest.mark.parametrize("begin, unit, end", [
    ("2026-03-29T00:00", "1d", "2026-03-30T00:00"), ("2026-03-29T01:00", "1h", "2026-03-29T03:00"), ("2026-01-31T00:00", "1w", "2026-02-07T00:00"),
    ("2026-12-01T00:00", "1mo", "2027-01-01T00:00"), ("2026-10-01T00:00", "1q", "2027-01-01T00:00"), ("2026-01-01T00:00", "1y", "2027-01-01T00:00"),
    ("2026-03-28T23:55", "5m", "2026-03-29T00:00")])
def test_where_a_bucket_ends(begin, unit, end):
    zone = views.zone("Europe/Berlin")
    assert views.bucket_end(datetime.fromisoformat(begin).replace(tzinfo=zone), unit) == datetime.fromisoformat(end).replace(tzinfo=zone)


@pytest.mark.parametrize("view, unit", [
    (views.View("today"), "1h"), (views.View("7d"), "1d"), (views.View("30d"), "1d"), (views.View("90d"), "1d"),
    (views.View(None, (date(2026, 6, 1), date(2026, 6, 2))), "1d"),  # hours are not kept that long
    (views.View(None, (date(2026, 6, 29), date(2026, 6, 30))), "1h"),
    (views.View(None, (date(2025, 9, 1), date(2026, 6, 30))), "1w"), (views.View(None, (date(2024, 1, 1), date(2026, 6, 30))), "1mo")])
def test_buckets_are_as_long_as_the_range_and_the_tiers_want(view, unit):
    now = views.midnight(date(2026, 6, 30), "Europe/Berlin") + 15 * 3_600_000
    assert views.bucket_of(view, TIERS, "Europe/Berlin", now) == unit


def test_buckets_of_other_tiers():
    now = 1_782_000_000_000
    assert views.bucket_of(views.View("today"), [("1d", "400d")], "UTC", now) == "1d"
    assert views.bucket_of(views.View("today"), [("7m", "20d"), ("1d", "400d")], "UTC", now) == "1d", "seven minutes make no hour"
    assert views.bucket_of(views.View(None, (date(2025, 1, 1), date(2026, 6, 1))), [("1d", "800d")], "UTC", now) == "1w"
    assert views.bucket_of(views.View(None, (date(2001, 1, 1), date(2001, 6, 1))), TIERS, "UTC", now) == "1mo", "nothing of it is kept"


# ---- what is shown


def test_what_a_cube_of_the_guides_shows():
    found = shown()
    assert found.steps == ("landing", "product_view", "add_to_cart", "checkout", "purchase") and found.funnel_by == "device" and not found.problems
    assert found.lists == ("page", "device", "channel") and found.live == "5m" and found.every == "1w"
    assert found.campaign == discovery.CampaignHead("step", "landing", "product_view", "purchase", "channel", "cost", "revenue")
    # The cube of docs/dashboard.md, and that of the package's README.
    assert shown(values=["view", "wishlist", "cart", "buy"]).steps == ("view", "cart", "buy")
    assert shown(values=["pay", "look", "cart"]).steps == ("look", "cart", "pay")
    assert shown(values=["a", "b", "c", "d", "e", "f"]).steps == ("a", "b", "c", "d", "e")


def test_a_cube_that_has_other_names():
    found = shown(dimensions=("action", "platform", "utm_source", "lang"), groups=("action,platform",), measures=("spend",), new=None, values=["open", "signup"])
    assert (found.step, found.funnel_by, found.steps, found.counts_new) == ("action", "platform", ("open", "signup"), False)
    assert "newcomers" not in found.panels and found.money == ("spend",)
    assert found.problems["campaign"]["kind"] == "not_configured" and found.campaign is None
    told = config.CubeSettings("shop", step="lang", steps=("de", "en", "fr"), device="platform", lists=("action",), campaign=config.CampaignSettings(by="utm_source"))
    assert shown(told, dimensions=("action", "platform", "utm_source", "lang")).campaign.by == "utm_source"
    assert shown(told, dimensions=("action", "platform", "utm_source", "lang")).lists == ("action",)


def test_what_a_cube_lacks_is_said_with_what_to_type():
    assert shown(groups=()).problems["campaign"]["fix"] == "HLL.CUBE.ALTER shop ADD GROUP step,channel"
    bare = shown(dimensions=("page",), groups=(), measures=())
    assert set(bare.problems) == {"funnel", "campaign"} and bare.problems["funnel"]["fix"] == "HLL.CUBE.ALTER shop ADD DIMENSION step VALUES 20"
    wrong = shown(config.CubeSettings("shop", lists=("colour",), step="stage"))
    assert set(wrong.problems) == {"list.colour", "funnel", "campaign"} and "no dimension 'colour'" in wrong.problems["list.colour"]["text"]
    assert shown(tiers=[("1d", "3d")]).every is None and shown(tiers=[("1d", "30d")]).every == "1d"


# ---- what it may cost


def test_all_panels_together_keep_to_their_share():
    """Whatever they cost: the sum of what they cost by how often they are asked."""
    rng = random.Random(5)
    for _ in range(200):
        costs = [rng.expovariate(1 / rng.choice([0.0002, 0.005, 0.2])) for _ in range(rng.randrange(1, 200))]
        weights = [rng.choice([1.0, hub.CARD_WEIGHT]) for _ in costs]
        waits = [cost.interval(1.0, one, 0.08 * weight / sum(weights), 1.0) for one, weight in zip(costs, weights, strict=True)]
        spent = sum(one / wait for one, wait in zip(costs, waits, strict=True) if wait < cost.LONGEST)
        assert spent <= 0.08 * cost.FAIR + 1e-9
    assert cost.interval(1.0, 0.0003, 0.08 / 27, 1.0) == 1.0 and cost.interval(1.0, 0.014, 0.08 / 27, 1.0) == pytest.approx(7.875)
    assert cost.interval(1.0, 0.0, 0.08, 3.0) == 3.0 and cost.interval(1.0, 1e9, 0.08, 1.0) == cost.LONGEST


def test_what_something_costs_is_the_shortest_of_its_last_times():
    found = cost.Cost()
    assert found.seconds == 0
    assert [found.took(seconds) for seconds in (0.5, 0.2, 0.9, 0.3, 0.4, 0.7, 0.8)] == [0.5, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3]


async def test_a_budget_is_empty_when_it_is_spent_and_fills_again(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(cost.time, "monotonic", lambda: now[0])
    budget = cost.Budget(0.1, 2.0)
    budget.spend(3.0)
    assert not budget.is_open and not await budget.wait(0)
    now[0] += 9
    assert not budget.is_open
    now[0] += 2
    assert budget.is_open and await budget.wait(0) and budget.spent == 3.0


def test_a_board_that_takes_too_much_asks_less_often(monkeypatch):
    now, cpu = [0.0], [0.0]
    monkeypatch.setattr(cost.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(cost.time, "process_time", lambda: cpu[0])
    strain = cost.Strain(0.07)

    def pass_by(share, times=1):
        for _ in range(times):
            now[0] += 2
            cpu[0] += 2 * share
            strain.measure()
        return strain.stretch

    assert pass_by(0.05) == 1 and pass_by(0.5) == 2 and pass_by(0.14) == 4 and pass_by(0.9, 5) == cost.MOST_STRETCH
    assert pass_by(0.05) == cost.MOST_STRETCH and pass_by(0.01, 30) == 1


# ---- words


@pytest.mark.parametrize("value", ["mobile", "/a?b=c&d", "with space", 'a "quoted" \\ one', "Zürich", "'", "", "line\nbreak", "tab\there", "$(x)", "*", "#", "a'b"])
def test_a_command_can_be_copied(value):
    command = cube.count("my shop", where={"page": value})
    text = hub.spoken(command)
    assert "\n" not in text
    if value.isprintable():
        assert shlex.split(text) == [command.name, *(word.decode() for word in command.words)]
    else:
        assert text.endswith('"line\\x0abreak"') or text.endswith('"tab\\x09here"')
    assert hub.spoken(cube.count(b"\xff\x00")).endswith('"\\xff\\x00"')


def test_bounds_that_are_none_are_null_and_nothing_is_divided_by_nothing():
    from redis_hll.board import panels
    assert panels.interval(Interval(1.0, float("-inf"), float("inf"))) == {"estimate": 1.0, "lower": None, "upper": None}
    assert panels.quotient(Interval(5, 5, 5), Interval(0, 0, 0)) is None
    found = panels.quotient(Interval(6, 5, 7), Interval(3, 0, 4))
    assert (found.estimate, found.lower, found.upper) == (2, 1.25, float("inf"))


# ---- what it is told


@pytest.mark.parametrize("table, said", [
    ({"colour": 1}, "'colour' is not known"), ({"cubes": {"key": "a"}}, r"write \[\[board.cubes\]\]"), ({"cubes": [{}]}, "number 1: key is missing"),
    ({"cubes": [{"key": 5}]}, "key is a text"), ({"cubes": [{"key": "a", "steps": "b"}]}, "steps is a list"), ({"cubes": [{"key": "a", "labels": {"a": 1}}]}, "labels is a table"),
    ({"limits": {"viewers": 0}}, "viewers is a number above 0"), ({"limits": {"viewers": 1.5}}, "without a fraction"), ({"limits": {"tick": True}}, "tick is a number"),
    ({"cubes": [{"key": "a", "campaign": {"to": "b"}}]}, "campaign: 'to' is not known"), ({"sketches": [{"title": "a"}]}, "sketches, number 1: key"), ({"limits": 5}, "is a table")])
def test_a_wrong_configuration_is_told(table, said):
    with pytest.raises(config.ConfigError, match=said):
        config.read(table)


@pytest.mark.parametrize("settings, said", [
    ({}, "which cube"), ({"cubes": [{"key": "a"}, {"key": "a"}]}, "two cubes"), ({"cubes": [{"key": "about"}]}, "cannot be a name"),
    ({"cubes": [{"key": "a", "name": "b/c"}]}, "cannot be a name"), ({"cubes": [{"key": str(n)} for n in range(17)]}, "at most 16"),
    ({"sketches": [{"key": str(n)} for n in range(65)]}, "at most 64"), ({"cubes": [{"key": "a"}], "listen": "a:b"}, "no address"),
    ({"cubes": [{"key": "a"}], "token": "short"}, "guessed"), ({"cubes": [{"key": "a", "steps": ["b"]}]}, "2 to 8"),
    ({"cubes": [{"key": "a", "retention": {"periods": 30}}]}, "2 to 24"), ({"cubes": [{"key": "a", "lists": ["b"] * 9}]}, "at most 8 lists")])
def test_what_does_not_fit_together_is_told(settings, said):
    with pytest.raises(config.ConfigError, match=said):
        config.check(config.read(settings))


def test_addresses():
    assert config.address("8321") == ("127.0.0.1", 8321) and config.address("[::1]:1") == ("::1", 1) and config.address("0.0.0.0:0") == ("0.0.0.0", 0)
    assert all(map(config.is_local, ("127.0.0.1", "127.8.0.1", "localhost", "::1"))) and not any(map(config.is_local, ("0.0.0.0", "::", "10.0.0.1", "128.0.0.1")))
