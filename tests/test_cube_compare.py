"""COMPARE, `returning` and `precision`: on every server, over both protocols, beside what two questions say."""

import pytest

from helpers import refused
from test_cube import DAY, HOUR, START, mapping

CREATE = ["PRECISION", "10", "TIER", "1h", "5d", "TIER", "1d", "90d", "TIER", "1w", "53w", "DIMENSION", "variant", "VALUES", 8,
          "DIMENSION", "step", "VALUES", 8, "GROUP", "variant,step", "MEASURE", "revenue", "NEW", 14, "TIMEZONE", "Europe/Berlin"]


def query(client, *words):
    return mapping(client, client("HLL.CUBE.QUERY", "shop", *words))


def fill(client, days=10, users=600):
    """Every day so many users, nine in ten of whom came the day before; half of them in each variant, a third of them buy."""
    assert client("HLL.CUBE.CREATE", "shop", *CREATE) == "OK"
    for day in range(days):
        words = []
        for i in range(users):
            user = day * users // 10 + i
            words += [START + day * DAY + i % 24 * HOUR, f"u:{user}", "ab"[user % 2], ["view", "view", "buy"][user % 3], day + 1]
        words = sorted((words[i:i + 5] for i in range(0, len(words), 5)), key=lambda row: row[0])
        reply = client("HLL.CUBE.MADD", "shop", "FIELDS", 3, "variant", "step", "revenue", "ROWS", *[word for row in words for word in row])
        assert mapping(client, reply)["counted"] == users
    return users


def day(n):
    return ["FROM", START + n * DAY, "TO", START + (n + 1) * DAY]


def test_a_day_beside_the_day_before(client):
    users = fill(client)
    answer = query(client, *day(8), "COMPARE", "PREVIOUS")
    assert (answer["previous_from"], answer["previous_to"], answer["wide"]) == (START + 7 * DAY, START + 8 * DAY, 0)
    assert answer["precision"] == 10
    (row,) = answer["rows"]
    before = query(client, *day(7))["rows"][0]
    assert list(row)[:12] == ["unique", "unique_lower", "unique_upper", "events", "new", "new_lower", "new_upper", "revenue",
                              "unique_previous", "unique_change", "unique_change_lower", "unique_change_upper"]
    for metric in ("unique", "events", "new", "revenue"):
        assert row[f"{metric}_previous"] == before[metric]
    assert row["events_change"] == row["events_change_lower"] == row["events_change_upper"] == 0
    assert row["revenue_change"] == row["revenue_change_lower"] == pytest.approx(users / (8 * users))
    # Truth is no change. With these users the interval holds it; alone each count is not so sure.
    assert row["unique_change_lower"] <= 0 <= row["unique_change_upper"]
    alone = (row["unique_upper"] - row["unique_lower"]) / row["unique"]
    assert row["unique_change_upper"] - row["unique_change_lower"] < alone
    assert query(client, *day(8), "COMPARE", "FROM", START, "TO", START + DAY, "METRICS", 1, "events")["previous_from"] == START
    gone = query(client, *day(0), "COMPARE", "PREVIOUS")
    assert gone["previous_from"] is None and gone["rows"][0]["unique_previous"] is None and gone["rows"][0]["events_change"] is None


def test_weeks_months_and_the_time_up_to_now(client):
    fill(client)
    week = query(client, "LAST", "2d", "AT", START + 10 * DAY - 1, "COMPARE", "PREVIOUS", "METRICS", 1, "events")
    assert (week["from"], week["to"]) == (START + 8 * DAY, START + 10 * DAY)
    assert (week["previous_from"], week["previous_to"]) == (START + 6 * DAY, START + 8 * DAY)
    today = query(client, "PERIOD", "TODAY", "AT", START + 9 * DAY + 5 * HOUR, "COMPARE", "PREVIOUS", "BY", "step")
    assert (today["previous_from"], today["previous_to"]) == (START + 8 * DAY, START + 8 * DAY + 5 * HOUR)
    assert {row["step"] for row in today["rows"]} == {"buy", "view"}
    buckets = query(client, "FROM", START + 7 * DAY, "TO", START + 9 * DAY, "BUCKET", "1d", "COMPARE", "PREVIOUS", "METRICS", 1, "revenue")
    assert [row["revenue_previous"] for row in buckets["rows"]] == [600 * 6, 600 * 7]


def test_two_variants_side_by_side(client):
    fill(client)
    answer = query(client, *day(5), "WHERE", "variant", "a", "COMPARE", "WHERE", "variant", "b")
    assert "previous_from" not in answer and answer["wide"] == 0
    (row,) = answer["rows"]
    other = query(client, *day(5), "WHERE", "variant", "b")["rows"][0]
    assert row["unique_previous"] == other["unique"] and row["events_previous"] == other["events"] == 300
    # Of events nothing is known of how they vary: those of one user come together.
    assert row["events_difference"] is None and row["events_p_value"] is None and row["events_change"] == 0
    assert row["unique_difference_lower"] <= 0 <= row["unique_difference_upper"] and row["unique_p_value"] > 0.05
    assert row["revenue_difference"] is None and row["revenue_p_value"] is None and row["revenue_change"] == 0
    by_step = query(client, *day(5), "WHERE", "variant", "a", "BY", "step", "COMPARE", "WHERE", "variant", "b", "METRICS", 1, "events")["rows"]
    for row in by_step:
        own = query(client, *day(5), "WHERE", "variant", "b", "WHERE", "step", row["step"], "METRICS", 1, "events")["rows"][0]
        assert row["events_previous"] == own["events"]
    steps = query(client, *day(5), "WHERE", "step", "view", "COMPARE", "WHERE", "step", "buy", "METRICS", 1, "unique")["rows"][0]
    assert steps["unique_difference"] == pytest.approx(200, abs=20) and steps["unique_p_value"] < 1e-6
    users = query(client, *day(5), "WHERE", "variant", "a", "WHERE", "step", "buy", "USERS", "COMPARE", "WHERE", "variant", "b")
    assert users["method"] == "users" and users["wide"] == 1


def test_returning_users_are_those_who_are_not_new(client):
    fill(client)
    row = query(client, *day(5), "METRICS", 3, "unique", "new", "returning")["rows"][0]
    assert row["returning"] == pytest.approx(row["unique"] - row["new"])
    assert row["returning_lower"] <= 540 <= row["returning_upper"]
    top = mapping(client, client("HLL.CUBE.TOP", "shop", "variant", 2, *day(5), "ORDER", "returning"))["rows"]
    assert top[0]["returning"] >= top[1]["returning"] > 200
    assert mapping(client, client("HLL.CUBE.COUNT", "shop"))["precision"] == 10
    client("HLL.CUBE.CREATE", "old", "DIMENSION", "step")
    refused(client, "HLL.CUBE.QUERY", "old", "METRICS", 1, "returning", match="create one with NEW")


def test_a_tier_of_a_lower_precision_is_told(client):
    client("HLL.CUBE.CREATE", "shop", "TIER", "1h", "48h", "TIER", "1d", "90d", "PRECISION", "11", "TIER", "1mo", "36mo")
    for hour in range(100):
        client("HLL.CUBE.ADD", "shop", START + hour * HOUR, "u:1")
    told = [query(client, "FROM", START + hour * HOUR, "TO", START + 100 * HOUR)["precision"] for hour in (0, 90)]
    assert told == [11, 14]


BAD = [
    (["COMPARE", "PREVIOUS"], "give LAST, FROM or PERIOD"),
    (["COMPARE", "FROM", 1, "TO", 2], "give LAST, FROM or PERIOD"),
    (["LAST", "1d", "COMPARE"], "without its value"),
    (["LAST", "1d", "COMPARE", "NEXT"], "must be PREVIOUS, FROM or WHERE"),
    (["LAST", "1d", "COMPARE", "FROM", 5, "TO", 5], "earlier one first"),
    (["LAST", "1d", "COMPARE", "FROM", 5], "without its value"),
    (["LAST", "1d", "COMPARE", "PREVIOUS", "COMPARE", "PREVIOUS"], "twice"),
    (["COMPARE", "WHERE", "variant", "b"], "give WHERE variant too"),
    (["WHERE", "variant", "a", "BY", "variant", "COMPARE", "WHERE", "variant", "b"], "one of BY"),
    (["WHERE", "variant", "a", "COMPARE", "WHERE", "colour", "b"], "no dimension"),
    (["WHERE", "variant", "a", "COMPARE", "WHERE", "variant", ""], "empty"),
]


def test_bad_comparisons(client):
    fill(client, 1, 20)
    for words, message in BAD:
        refused(client, "HLL.CUBE.QUERY", "shop", *words, match=f"ERR HLL: .*{message}")
    for name in ("revenue_change", "unique_previous", "Events_p_value", "returning"):
        refused(client, "HLL.CUBE.ALTER", "shop", "ADD", "MEASURE", name, match="word of questions")
    refused(client, "HLL.CUBE.CREATE", "new", "MEASURE", "cost_difference", "MEASURE", "cost", match="word of questions")
