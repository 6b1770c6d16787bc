"""What a cube knows of a stretch of time: nothing that is forgotten is answered as nought, and silence is."""

import pytest

from helpers import refused
from servers import wait_for
from test_cube import DAY, HOUR, mapping

BEGIN = 1_764_547_200_000  # 2025-12-01, a Monday, at midnight of UTC
KEPT = BEGIN + 59 * DAY
CREATE = ["TIER", "1h", "24h", "TIER", "1d", "40d", "DIMENSION", "step", "VALUES", 8, "DIMENSION", "plan", "VALUES", 8, "USERLEVEL",
          "MEASURE", "cost", "NEW", 12]
VALUES = ["IMPRESSION", "view", "CLICK", "cart", "CONVERSION", "buy"]


def between(from_, to):
    return ["FROM", BEGIN + from_ * DAY, "TO", BEGIN + to * DAY]


def ask(client, name, *words):
    return mapping(client, client(f"HLL.CUBE.{name}", "shop", *words))


@pytest.fixture
def shop(client):
    """An event, and another one a hundred days later, when the first one is forgotten."""
    assert client("HLL.CUBE.CREATE", "shop", *CREATE) == "OK"
    for day in (0, 100):
        client("HLL.CUBE.ADD", "shop", BEGIN + day * DAY, "u", "step", "view", "plan", "pro", "cost", 2)
    return client


def figures(row, but=()):
    return {name: value for name, value in row.items() if name not in ("from", "to", "zone", "method", "confidence", "precision", "other_events", *but)}


def test_forgotten_time_is_null(shop):
    gone = ask(shop, "COUNT", *between(0, 2))
    assert (gone["from"], gone["to"]) == (KEPT, KEPT)
    assert list(figures(gone)) == ["unique", "unique_lower", "unique_upper", "events", "new", "new_lower", "new_upper", "cost"]
    assert set(figures(gone).values()) == {None}
    assert ask(shop, "QUERY", *between(0, 2), "METRICS", 1, "events")["rows"] == [{"events": None}]
    assert ask(shop, "QUERY", *between(0, 2), "BY", "step")["rows"] == []
    assert [row["events"] for row in ask(shop, "SERIES", "BUCKET", "1d", *between(0, 2))["rows"]] == [None, None]
    (row,) = ask(shop, "FUNNEL", "step", "STEPS", 2, "view", "cart", *between(0, 2))["rows"]
    steps = [mapping(shop, step) for step in row["steps"]]
    assert [step.pop("step") for step in steps] == ["view", "cart"]
    known = mapping(shop, ask(shop, "FUNNEL", "step", "STEPS", 2, "view", "cart", *between(99, 101))["rows"][0]["steps"][0])
    assert all(list(step) == list(known)[1:] and set(step.values()) == {None} for step in steps)
    (row,) = ask(shop, "CAMPAIGN", "step", *VALUES, "COST", "cost", *between(0, 2))["rows"]
    assert list(row) == list(ask(shop, "CAMPAIGN", "step", *VALUES, *between(99, 101))["rows"][0]) and set(row.values()) == {None}
    shop("SET", "dest", "there")
    assert f"from {KEPT} on" in refused(shop, "HLL.CUBE.STORE", "dest", "shop", *between(0, 2))
    assert shop("GET", "dest") == b"there"
    # An hour of a day whose hours are gone.
    for hour in (1, 22):
        words = ["FROM", BEGIN + 70 * DAY + hour * HOUR, "TO", BEGIN + 70 * DAY + (hour + 1) * HOUR]
        assert ask(shop, "COUNT", *words)["events"] is None
        assert f"from {BEGIN + 70 * DAY} to {BEGIN + 71 * DAY}" in refused(shop, "HLL.CUBE.STORE", "dest", "shop", *words)


def test_silence_is_nought_and_a_part_says_which(shop):
    for days in ((70, 80), (110, 120)):
        assert ask(shop, "COUNT", *between(*days))["events"] == 0
        assert {row["events"] for row in ask(shop, "SERIES", "BUCKET", "1d", *between(*days))["rows"]} == {0}
        (row,) = ask(shop, "FUNNEL", "step", "STEPS", 2, "view", "cart", *between(*days))["rows"]
        assert mapping(shop, row["steps"][0])["users"] == 0
        assert shop("HLL.CUBE.STORE", "dest", "shop", *between(*days)) == "OK" and shop("HLL.COUNT", "dest") == 0
    both = ask(shop, "COUNT", *between(0, 101))
    assert (both["from"], both["to"], both["events"]) == (KEPT, BEGIN + 100 * DAY + HOUR, 1)
    series = ask(shop, "SERIES", "BUCKET", "1d", *between(57, 62))
    assert (series["from"], series["to"]) == (KEPT, BEGIN + 62 * DAY)
    assert [row["events"] for row in series["rows"]] == [None, None, 0, 0, 0]


def test_nothing_happened_in_an_empty_cube(client):
    client("HLL.CUBE.CREATE", "shop", *CREATE)
    assert ask(client, "COUNT", *between(0, 2))["events"] == 0
    assert [row["events"] for row in ask(client, "SERIES", "BUCKET", "1d", *between(0, 2))["rows"]] == [0, 0]


def test_of_what_was_declared_later_nothing_is_known_before(shop):
    assert shop("HLL.CUBE.ALTER", "shop", "ADD", "DIMENSION", "country") == "OK"
    shop("HLL.CUBE.ADD", "shop", BEGIN + 101 * DAY, "u", "country", "DE")
    since = BEGIN + 100 * DAY + HOUR
    words = ["WHERE", "country", "DE", *between(90, 95)]
    before = ask(shop, "COUNT", *words)
    assert before["events"] is None and (before["from"], before["to"]) == (since, since)
    assert f"from {since} on" in refused(shop, "HLL.CUBE.STORE", "dest", "shop", *words)
    after = ask(shop, "COUNT", "WHERE", "country", "DE", *between(90, 102))
    assert (after["from"], after["events"]) == (since, 1)


def test_the_borders_of_buckets_are_those_that_were_read(client):
    """Hours of three days are kept in hours, and of ten in days: the buckets are hours of three days."""
    client("HLL.CUBE.CREATE", "shop", "TIER", "1h", "3d", "TIER", "1d", "40d", "DIMENSION", "step", "VALUES", 8)
    for hour in range(10 * 24):
        client("HLL.CUBE.ADD", "shop", BEGIN + hour * HOUR, "u", "step", f"s{hour // 24}")
    found = ask(client, "QUERY", "BUCKET", "1h", "METRICS", 1, "events")
    first = found["rows"][0]["bucket"]
    assert first > BEGIN and (found["from"], found["to"]) == (first, BEGIN + 10 * DAY)
    assert len(found["rows"]) == (found["to"] - found["from"]) // HOUR
    # And values are chosen from what the buckets tell, though days before have others too.
    by_step = ask(client, "QUERY", "BUCKET", "1h", "BY", "step", "METRICS", 1, "events", "FILL", "ZERO", "ORDER", "events", "LIMIT", 2)
    told = {row["step"] for row in by_step["rows"] if row["events"]}
    assert len(told) == 2 and by_step["from"] == first
    nothing = ask(client, "QUERY", "BUCKET", "1h", *between(1, 2))
    assert nothing["rows"] == [] and nothing["from"] == nothing["to"]


def test_rows_are_chosen_from_the_buckets_that_are_known(client):
    """A day keeps two values apart and its hours have more: those of the hours that are kept are told, though others of the same
    time are gone."""
    client("HLL.CUBE.CREATE", "shop", "TIER", "1h", "24h", "TIER", "1d", "40d", "DIMENSION", "step", "VALUES", 2)
    for day in range(4):
        for hour, value in ((1, "a"), (1, "a"), (2, "b"), (2, "b"), (20, f"c{day}"), (21, f"d{day}")):
            client("HLL.CUBE.ADD", "shop", BEGIN + day * DAY + hour * HOUR, "u", "step", value)
    found = ask(client, "QUERY", *between(0, 4), "BUCKET", "1h", "BY", "step", "METRICS", 1, "events", "FILL", "ZERO")
    assert {"c3", "d3"} <= {row["step"] for row in found["rows"] if row["events"]}


def test_what_users_do_not_tell_is_null(client):
    """Sums of sets that stand aside are not known, and no reason to refuse what is."""
    client("HLL.CUBE.CREATE", "shop", *CREATE)
    for user, step in (("a", "view"), ("b", "view"), ("a", "cart"), ("a", "buy")):
        client("HLL.CUBE.ADD", "shop", BEGIN, user, "step", step, "plan", "pro", "cost", 2)
    plain = ask(client, "CAMPAIGN", "step", *VALUES, "WHERE", "plan", "pro")
    paid = ask(client, "CAMPAIGN", "step", *VALUES, "WHERE", "plan", "pro", "COST", "cost", "REVENUE", "cost")
    assert paid == plain and paid["method"] == "users"
    (row,) = paid["rows"]
    assert row["ctr"] == 0.5 and {row[name] for name in ("cpc", "cpa", "roi")} == {None}
    assert ask(client, "CAMPAIGN", "step", *VALUES, "BY", "plan", "COST", "cost")["rows"][0]["cpc"] is None


@pytest.mark.parametrize("words", [["HLL.CUBE.COUNT", "shop", "LAST", "99999y"], ["HLL.CUBE.CREATE", "other", "TIER", "1y", "9000y"]])
def test_a_length_beyond_the_longest_is_told_the_limit(client, words):
    client("HLL.CUBE.CREATE", "shop")
    assert "up to a thousand years" in refused(client, *words)


def test_many_rows_by_bucket_leave_the_thread_at_once(server, protocol):
    """A row of each of two hundred values in each of two days' hours: no other client waits for them, and where nobody can wait
    they are refused."""
    c = server.client(protocol)
    c("HLL.CUBE.CREATE", "shop", "TIER", "1h", "48h", "TIER", "1d", "40d", "DIMENSION", "step", "VALUES", 200)
    for hour in range(40):
        c("HLL.CUBE.MADD", "shop", "FIELDS", 1, "step", "ROWS", *(word for i in range(200) for word in (BEGIN + hour * HOUR, f"u{i}", f"s{i}")))
    words = ["HLL.CUBE.QUERY", "shop", "BY", "step", "BUCKET", "1h"]
    done = int(server.info(section="hll")["hll_long_answers_done"])
    assert len(mapping(c, c(*words))["rows"]) == 8_000
    wait_for("the answer to be counted", lambda: int(server.info(section="hll")["hll_long_answers_done"]) == done + 1)
    c("MULTI")
    c(*words)
    c("HLL.CUBE.QUERY", "shop", "BY", "step", "LIMIT", 10)
    refusal, answer = c("EXEC")
    assert "cannot wait inside a transaction" in refusal.text and len(mapping(c, answer)["rows"]) == 10
