"""The board's API and streams: numbers equal the server's, everything is asked once, and nothing goes wrong for long."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import redis
from pydantic import TypeAdapter

import servers
from boards import Board, away_from_border, calls, fill, wait_for
from conftest import ROOT
from redis_hll import HLL, Not
from redis_hll.board import apipage, shapes
from redis_hll.commands import cube as cube_commands

MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PANELS = ["now", "today", "7d", "30d", "series", "figures", "newcomers", "list.page", "list.device", "list.channel", "campaign", "funnel", "retention", "state"]
SHAPE = {**dict.fromkeys(shapes.CARDS, shapes.CardPanel), "series": shapes.SeriesPanel, "figures": shapes.FiguresPanel, "newcomers": shapes.NewcomersPanel,
         "list": shapes.ListPanel, "campaign": shapes.CampaignPanel, "funnel": shapes.FunnelPanel, "retention": shapes.RetentionPanel,
         "state": shapes.StatePanel, "sketches": shapes.SketchesPanel}


def millis(time):
    return (time - EPOCH) // MILLISECOND


def interval(found):
    """An interval as the board tells it."""
    if found is None:
        return None
    return {"estimate": found.estimate, "lower": None if found.lower == float("-inf") else found.lower, "upper": None if found.upper == float("inf") else found.upper}


def has_its_shape(document):
    """Whether a document is what its shape says, without anything else in it."""
    shape = TypeAdapter(SHAPE[document["panel"].split(".")[0]])
    assert shape.validate_python(document, strict=True) == document
    return document


@pytest.fixture
def hll(server):
    return HLL(redis.Redis(port=server.port), strict=True)


def url(server, protocol=2, user=""):
    return f"redis://{user}127.0.0.1:{server.port}/0?protocol={protocol}"


@pytest.fixture
def shop(hll, server):
    cube = fill(hll)
    server.c("CONFIG", "RESETSTAT")
    return cube


@contextlib.contextmanager
def running(*arguments):
    """A board that must not say anything of a defect."""
    with Board(*arguments) as found:
        yield found
    assert "Traceback" not in found.errors and "defect" not in found.errors, found.errors


@pytest.fixture
def board(server, shop):
    """On every server."""
    with running(url(server, 3), "--cube", "shop") as found:
        yield found


@pytest.fixture
def one_board(one_server):
    """On one server, for what does not depend on it."""
    fill(HLL(redis.Redis(port=one_server.port)), users=60, days=3)
    one_server.c("CONFIG", "RESETSTAT")
    with running(url(one_server), "--cube", "shop") as found:
        yield found


def test_about_tells_what_the_cube_declares(board):
    about = board.get("/api/about")
    assert TypeAdapter(shapes.About).validate_python(about, strict=True) == about
    (dataset,) = about["datasets"]
    assert [panel["name"] for panel in dataset["panels"]] == PANELS and not any(panel["problem"] for panel in dataset["panels"])
    assert dataset["dimensions"] == ["step", "device", "channel", "page"] and dataset["measures"] == ["cost", "revenue"]
    assert sorted(map(sorted, dataset["groups"])) == [["channel", "device"], ["channel", "step"], ["device", "step"]]
    assert dataset["zone"] == "Europe/Berlin" and dataset["finest"] == "5m"


VIEWS = [{}, {"range": "7d", "where": "device:mobile"}, {"range": "today", "compare": "off"},
                                   {"range": "90d", "where": ["channel!:search"]}, {"range": "30d", "where": ["device:mobile", "device:tablet"]}]


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_panel_says_what_the_server_says(server, shop, protocol):
    """Each figure beside the answer to the same question asked directly."""
    with running(url(server, protocol), "--cube", "shop") as board:
        for asked in VIEWS:
            away_from_border(20)
            says_what_the_server_says(board, shop, asked)


def says_what_the_server_says(board, shop, asked):
    where = {"device:mobile": {"device": "mobile"}, "channel!:search": {"channel": Not("search")}}.get("".join(asked.get("where", "")), {})
    where = {"device": ["mobile", "tablet"]} if isinstance(asked.get("where"), list) and len(asked["where"]) == 2 else where
    stretch = {"period": "today"} if asked.get("range") == "today" else {"last": asked.get("range", "30d")}
    compare = None if asked.get("compare") == "off" else "previous"
    found = {name: has_its_shape(board.panel(name, **asked)) for name in PANELS}

    for name, window in (("now", {"last": "5m"}), ("today", {"period": "today"}), ("7d", {"last": "7d"}), ("30d", {"last": "30d"})):
        card, direct = found[name]["answer"], shop.query(where=where, metrics=["unique", "events"], **window)
        assert card["unique"] == interval(direct[0].unique) and card["events"] == direct[0].events and card["unique"]["estimate"] > 0
        assert (card["from"], card["to"], card["zone"]) == (millis(direct.from_), millis(direct.to), "Europe/Berlin")
        if compare:
            beside = shop.query(where=where, metrics=["unique", "events"], compare="previous", **window)
            assert card["unique_change"] == {"previous": beside[0].changes["unique"].previous, "change": interval(beside[0].changes["unique"].change)}
            assert card["compared_to"] == (millis(beside.to) if beside.previous_to else None) and card["previous_to"] == (millis(beside.previous_to) if beside.previous_to else None)
        else:
            assert card["unique_change"] is None and card["previous_from"] is None
        assert card["spark"]["points"]

    unit = {"today": "1h"}.get(asked.get("range"), "1d")
    series, direct = found["series"]["answer"], shop.query(where=where, metrics=["unique", "events"], bucket=unit, fill_zero=True, **stretch)
    beside = {row.bucket: row.changes["unique"].previous for row in shop.query(where=where, metrics=["unique", "events"], bucket=unit, fill_zero=True, compare="previous", **stretch)}
    assert series["unit"] == unit and len(series["rows"]) == len(direct)
    for row, its in zip(series["rows"], direct, strict=True):
        assert (row["bucket"], row["unique"], row["events"]) == (millis(its.bucket), interval(its.unique), its.events)
        assert row["unique_previous"] == (beside.get(its.bucket) if compare else None)
    assert [row["unfinished"] for row in series["rows"]] == [False] * (len(direct) - 1) + [True]
    assert sum(row["events"] or 0 for row in series["rows"]) > 0

    count, figures = shop.count(where=where, **stretch), found["figures"]["answer"]
    assert figures["unique"] == interval(count.unique) and figures["events"] == count.events
    assert {item["name"]: item["sum"] for item in figures["measures"]} == count.measures
    buyers = None if "channel" in where and "device" in where else shop.query(where={**where, "step": "purchase"}, metrics=["unique"], **stretch)
    assert figures["converted"]["step"] == "purchase" and figures["converted"]["unique"] == interval(buyers[0].unique)
    assert figures["converted"]["rate"]["lower"] <= buyers[0].unique.estimate / count.unique.estimate <= figures["converted"]["rate"]["upper"]
    assert found["newcomers"]["answer"]["new"] == interval(count.new)

    for dimension in ("device", "channel"):
        others = {name: value for name, value in where.items() if name != dimension}
        listed, top = found[f"list.{dimension}"]["answer"], shop.top(dimension, 10, where=others, **stretch)
        assert [(row["value"], row["unique"], row["events"]) for row in listed["rows"]] == [(row.by[dimension], interval(row.unique), row.events) for row in top]
        assert listed["values"] == {"device": 3, "channel": 2}[dimension] and listed["events"] == shop.count(where=others, **stretch).events
    if where:
        assert found["list.page"]["problem"]["kind"] == "no_group" and found["list.page"]["answer"] is None
    else:
        assert [row["value"] for row in found["list.page"]["answer"]["rows"]] == [row.by["page"] for row in shop.top("page", 10, **stretch)]

    by = None if "channel" in where else "device"
    steps = ["landing", "product_view", "add_to_cart", "checkout", "purchase"]
    funnel, direct = found["funnel"]["answer"], shop.funnel("step", steps, by=by, where=where, **stretch)
    assert funnel["by"] == by and funnel["steps"] == steps and len(funnel["rows"]) == len(direct)
    directly = {row.by.get("device"): [(step.step, interval(step.users), interval(step.overall)) for step in row.steps] for row in direct}
    assert {row["value"]: [(step["step"], step["users"], step["overall"]) for step in row["steps"]] for row in funnel["rows"]} == directly

    if "device" in where:
        assert found["campaign"]["problem"]["fix"] == "HLL.CUBE.ALTER shop ADD GROUP step,channel,device"
    else:
        campaign = found["campaign"]["answer"]
        direct = shop.campaign("step", impression="landing", click="product_view", conversion="purchase", cost="cost", revenue="revenue", by="channel",
                               where=where, **stretch)
        reports = {row.by["channel"]: row.report for row in direct}
        assert {row["value"] for row in campaign["rows"]} == set(reports)
        for row in campaign["rows"]:
            report = reports[row["value"]]
            assert row["clicks"] == interval(report.unique_clicks) and row["roi"] == interval(report.roi) and row["cpc"] == interval(report.cpc)
            assert row["roi"]["estimate"] == pytest.approx((row["revenue"] - row["cost"]) / row["cost"])

    retention, direct = found["retention"]["answer"], shop.retention("1w", 8, cohort=where, returned=where, last="7w")
    assert [(row["cohort"], row["size"], [period["rate"] for period in row["periods"]]) for row in retention["rows"]] == [
        (millis(row.cohort), interval(row.size), [interval(period.rate) for period in row.periods]) for row in direct]

    state = found["state"]["answer"]
    assert state["cube"]["events"] == shop.count().events and state["cube"]["memory_bytes"] > 0 and state["module"]["cube_keys"] == 1
    assert state["server"]["version"] and state["alerts"] is None


def test_the_commands_that_are_shown_give_what_is_shown(board, server):
    """Copied and typed, each is the one that was sent: the server's answer to it has the same figures."""
    client = redis.Redis(port=server.port, protocol=3, decode_responses=True)
    away_from_border(20)
    seen = 0
    for name in PANELS:
        document = board.panel(name, where=["device:mobile"], range="7d")
        for number, command in enumerate(document["commands"]):
            try:
                reply = client.execute_command(*shlex.split(command))
            except redis.ResponseError as error:
                assert document["problem"] is not None or "no such key" in str(error)
                continue
            if number == 0 and name in (*shapes.CARDS, "figures"):
                assert reply["rows"][0]["unique"] == document["answer"]["unique"]["estimate"] and reply["from"] == document["answer"]["from"]
                seen += 1
    assert seen == 5


def test_days_are_those_of_the_zone_and_both_belong_to_the_range(board, shop):
    today = datetime.now(shop.count().from_.tzinfo).date()
    first, last = today - timedelta(days=3), today - timedelta(days=1)
    found = board.answer("series", **{"from": str(first), "to": str(last)})
    zone = shop.count().from_.tzinfo
    assert [datetime.fromtimestamp(row["bucket"] / 1000, zone) for row in found["rows"]] == [
        datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first, first + timedelta(days=1), last)]
    assert not any(row["unfinished"] for row in found["rows"])
    assert board.answer("figures", **{"from": str(last), "to": str(last)})["events"] == found["rows"][-1]["events"]


def test_a_time_that_is_not_kept_is_no_nought(one_board):
    found = one_board.panel("figures", **{"from": "2001-01-01", "to": "2001-01-31"})
    assert found["answer"] is None and found["problem"]["kind"] == "not_kept" and "Europe/Berlin" in found["problem"]["text"]


def test_an_event_shows_and_then_it_is_quiet(one_board, one_server):
    board, server, shop = one_board, one_server, HLL(redis.Redis(port=one_server.port)).cube("shop")
    away_from_border(90)
    stream = board.stream(",".join(PANELS))
    first = {"now": stream.panel("now")}
    stream.quiet(2)
    before = board.answer("now")["unique"]["estimate"]
    asked = calls(server, "HLL.CUBE.FUNNEL")
    shop.add("somebody else", step="landing", device="mobile", channel="search", page="/0")
    came = {}
    while not came.keys() >= {"now", "30d", "series", "list.page", "state", "funnel"}:
        document = stream.until(lambda kind, document: kind == "panel")
        came.setdefault(document["panel"], document)
    assert came["now"]["answer"]["unique"]["estimate"] == before + 1 and came["now"]["revision"] != first["now"]["revision"] and has_its_shape(came["now"])
    # Nothing happens from here on, but for the rate of events, which falls to none when the last one is ten seconds ago; and what takes long
    # comes late where the machine is busy.
    while any(kind != "alive" for kind, _ in stream.quiet(11)):
        pass
    queries, begin = calls(server, "HLL.CUBE.QUERY"), time.monotonic()
    assert [(kind, document) for kind, document in stream.quiet(5) if kind != "alive"] == []
    assert calls(server, "HLL.CUBE.FUNNEL") == asked + 1, "one event is one more question"
    # The signal alone is asked: two questions twice a second, and the day's events for the state every ten seconds.
    assert calls(server, "HLL.CUBE.QUERY") - queries <= 4 * (time.monotonic() - begin) + 10


def test_an_event_that_comes_late_shows_too(one_board, one_server):
    """Into a slice that is closed, where the signal does not look: it is found when the cube is described again."""
    stream = one_board.stream("30d")
    events = stream.panel("30d")["answer"]["events"]
    HLL(redis.Redis(port=one_server.port)).cube("shop").add("somebody else", datetime.now(UTC) - timedelta(days=1), step="landing")
    assert stream.panel("30d", lambda answer: answer["events"] == events + 1)
    assert one_board.answer("state")["cube"]["events"] == one_board.answer("30d")["events"]


def test_a_viewer_is_not_sent_what_it_has(one_board):
    stream = one_board.stream("now,30d,list.device")
    known = [stream.panel(name)["revision"] for name in ("now",)]
    have = [f"{name}@{one_board.panel(name)['revision']}" for name in ("now", "30d")]
    assert have[0] == f"now@{known[0]}"
    again = one_board.stream("now,30d,list.device", have=have)
    assert again.panel("list.device")
    assert not [document for kind, document in again.quiet(1.5) if kind == "panel" and document["panel"] in ("now", "30d")]


def test_twenty_viewers_cost_one_question(board, shop, server):
    """Of the funnel, which no signal asks: one question for twenty viewers, and one more after an event."""
    viewers = [board.stream("funnel,30d", range="7d", where="device:mobile") for _ in range(20)]
    revisions = {viewer.panel("funnel")["revision"] for viewer in viewers}
    assert len(revisions) == 1 and calls(server, "HLL.CUBE.FUNNEL") == 1
    users = board.answer("funnel", range="7d", where="device:mobile")["rows"][0]["steps"][0]["users"]["estimate"]
    shop.add("somebody else", step="landing", device="mobile", channel="search", page="/0")
    after = {viewer.panel("funnel", lambda answer: answer["rows"][0]["steps"][0]["users"]["estimate"] > users)["revision"] for viewer in viewers}
    assert len(after) == 1 and calls(server, "HLL.CUBE.FUNNEL") == 2
    assert "redis_hll_board_viewers 20\n" in board.client.get("/api/metrics").text


def test_only_what_is_looked_at_is_asked(board, shop, server):
    stream = board.stream("now,list.device")
    stream.panel("list.device")
    for number in range(3):
        shop.add(f"somebody {number}", step="landing", device="mobile")
        stream.panel("now", lambda answer: True)
    for command in ("FUNNEL", "RETENTION", "CAMPAIGN", "TOP"):
        assert calls(server, f"HLL.CUBE.{command}") == (1 if command == "TOP" else 0), command
    stream.close()
    wait_for("the viewer to be gone", lambda: "redis_hll_board_viewers 0\n" in board.client.get("/api/metrics").text)


WRONG = [
    ("range=5d", 422, "today"), ("from=2026-03-02", 422, "belong together"), ("from=2026-03-02&to=2026-03-01", 422, "earlier day first"),
    ("from=2020-01-01&to=2026-03-01", 422, "more than 1100 days"), ("from=yesterday&to=today", 422, "from"), ("range=7d&from=2026-03-01&to=2026-03-02", 422, "either"),
    ("where=device", 422, "write where=dimension:value"), ("where=colour:red", 422, "'colour' is no dimension of shop; it has step, device"),
    ("where=device:a&where=device!:b", 422, "give one kind"), ("where=page:" + "x" * 1100, 422, "1024 bytes"), ("compare=yes", 422, "previous"),
    ("colour=red", 422, "there is no parameter 'colour'"), ("&".join(f"where=page:{n}" for n in range(30)), 422, "20 values"),
    ("&".join(f"where=d{n}:1" for n in range(5)), 422, "4 dimensions"), ("where=step%00:x", 422, "no condition")]


def test_wrong_parameters_are_told(one_board):
    for path, (query, status, said) in itertools.product(("/api/shop/now", "/api/shop/stream"), WRONG):
        answer = one_board.client.get(f"{path}?{query}{'&panels=now' if path.endswith('stream') else ''}")
        assert answer.status_code == status and said in answer.json()["error"], answer.text


MISSING = [
    ("/api/other/now", 404, "no dataset 'other'; there are shop"), ("/api/shop/none", 404, "no panel 'none'; it has now, today"),
    ("/api/shop/list.colour", 404, "no panel"), ("/api/shop/stream", 422, "panels is missing"), ("/api/shop/stream?panels=", 422, "1 to 40"),
    ("/api/shop/stream?panels=now,none", 404, "no panel 'none'"), ("/api/nothing", 404, ""), ("/static/../app.py", 404, ""), ("/static/%2e%2e/app.py", 404, "")]


def test_what_there_is_not(one_board):
    for path, status, said in MISSING:
        answer = one_board.client.get(path)
        assert answer.status_code == status and said in answer.json()["error"], (path, answer.text)
    assert one_board.client.post("/api/shop/now").status_code == 405


def test_every_answer_has_the_policy(one_board):
    for path in ("/", "/api", "/api/about", "/api/shop/now", "/api/shop/none", "/api/openapi.json", "/api/style.css", "/nothing"):
        policy = one_board.client.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'") and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy


def test_another_name_and_another_site_are_refused(one_board):
    port = one_board.client.base_url.port
    for host, status in ((f"evil.example:{port}", 421), ("evil.example", 421), (f"127.0.0.1.evil.example:{port}", 421), ("", 421),
                         (f"127.0.0.1:{port}", 200), ("localhost", 200), (f"[::1]:{port}", 200), (f"LOCALHOST:{port}", 200)):
        assert one_board.client.get("/api/about", headers={"host": host}).status_code == status, host
    for site, mode, path, status in (("cross-site", "cors", "/api/about", 403), ("same-site", "no-cors", "/api/about", 403), ("cross-site", "navigate", "/api/about", 403),
                                     ("cross-site", "navigate", "/api", 200), ("same-origin", "cors", "/api/about", 200), ("none", "navigate", "/api", 200)):
        answer = one_board.client.get(path, headers={"sec-fetch-site": site, "sec-fetch-mode": mode})
        assert answer.status_code == status, (site, mode, path)


def test_the_api_page_describes_every_address_without_a_script(one_board):
    document, page = one_board.get("/api/openapi.json"), one_board.client.get("/api").text
    assert set(document["paths"]) == {"/api/openapi.json", "/api/about", "/api/health", "/api/metrics", "/api/{dataset}/stream", "/api/{dataset}/{panel}"}
    for path in document["paths"]:
        assert f"GET {path}" in page
    for name in ("Card", "SeriesRow", "Problem", "Status", "Interval", "About"):
        assert name in document["components"]["schemas"] or name == "Status"
        assert f'id="{name}"' in page or name == "Status"
    assert "<script" not in page and "style=" not in page and "http://" not in page and "https://" not in page
    parameters = {item["name"] for item in document["paths"]["/api/{dataset}/{panel}"]["get"]["parameters"]}
    assert parameters == {"dataset", "panel", "range", "from", "to", "where", "compare"}
    assert "<b>" not in apipage.frame("<b>", "")


def test_a_token_is_asked_for(one_server, tmp_path):
    server = one_server
    fill(HLL(redis.Redis(port=server.port)), users=60, days=3)
    token = "a token of twenty-four bytes"
    (tmp_path / "token").write_text(f"{token}\n")
    with Board(url(server), "--cube", "shop", "--token-file", tmp_path / "token") as board:
        for path in ("/api/about", "/api/shop/now", "/api/shop/stream?panels=now", "/api/health", "/api/metrics", "/api/openapi.json"):
            assert "token" in board.get(path, 401)["error"]
        for path in ("/", "/api", "/static/x.js"):
            answer = board.client.get(path)
            assert answer.status_code == 401 and '<form method="post" action="/login">' in answer.text
        assert board.client.get("/api/about", headers={"authorization": "Bearer no"}).status_code == 401
        assert board.client.get("/api/about", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert board.client.post("/login", data={"token": "no"}).status_code == 401 and not board.client.cookies
        assert board.client.post("/login", data={"token": "x" * 9000}).status_code == 413
        done = board.client.post("/login", data={"token": token})
        assert done.status_code == 303 and done.headers["location"] == "/"
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and token not in cookie
        assert board.get("/api/about")["datasets"]


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "redis_hll.cli.main", "board", *map(str, arguments)], capture_output=True, text=True, timeout=60, **options)


def test_what_a_board_does_not_start_with(tmp_path, one_server):
    server = one_server
    (tmp_path / "board.toml").write_text('[[board.cubes]]\nkey = "shop"\ncolour = "red"\n')
    (tmp_path / "short").write_text("short")
    for arguments, said in (((), "which cube"), (("--cube", "a", "--listen", "here"), "no address to listen on"),
                            (("--cube", "a", "--listen", "0.0.0.0:0"), "under which names"), (("--config", tmp_path / "board.toml"), "'colour' is not known there"),
                            (("--cube", "a", "--token-file", tmp_path / "short"), "fewer than 16"), (("--cube", "a", "--steps", "one"), "2 to 8 steps")):
        done = run("--url", url(server), *arguments, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_without_its_packages_it_says_what_to_install(tmp_path):
    program = "import sys; sys.modules['fastapi'] = None; from redis_hll.cli.main import main; sys.exit(main(['board', '--cube', 'shop']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2 and "pip install 'redis-hll[cli,board]'" in done.stderr and "Traceback" not in done.stderr


def test_elsewhere_a_token_is_made(one_server):
    """Told to listen where others come in, it makes a token and says it; here that is another address of this machine."""
    server = one_server
    fill(HLL(redis.Redis(port=server.port)), users=60, days=3)
    line = ["--cube", "shop", "--listen", "0.0.0.0:0", "--host", "board.example"]
    with Board(url(server), *line) as board:
        port = board.client.base_url.port
        token = board.process.stdout.readline().removeprefix("token: ").strip()
        assert len(token) >= 24
        board.client.base_url = f"http://127.0.0.1:{port}"
        assert board.get("/api/about", 401)
        assert board.get("/api/about", headers={"authorization": f"Bearer {token}", "host": f"board.example:{port}"})["datasets"]
        assert board.get("/api/about", 421, headers={"host": f"other.example:{port}"})


# ---- when things are not as they should be


@pytest.fixture
def board_of_nothing(server):
    server.c("DEL", "shop")
    with running(url(server), "--cube", "shop") as found:
        yield found


def test_from_no_cube_to_an_empty_one_to_numbers(board_of_nothing, server, hll):
    """The stream says what to type; typed, it goes on by itself."""
    board, client = board_of_nothing, redis.Redis(port=server.port)
    stream = board.stream("now,30d,state")
    missing = stream.until(lambda kind, document: kind == "status" and document["dataset"] == "missing")
    assert missing["server"] == "live" and missing["problem"]["kind"] == "no_cube"
    assert board.panel("30d")["problem"]["kind"] == "no_cube" and board.panel("30d")["answer"] is None
    assert board.get("/api/about")["datasets"][0]["panels"][0]["problem"]["kind"] == "no_cube"
    client.execute_command(*shlex.split(missing["problem"]["fix"]))
    empty = stream.until(lambda kind, document: kind == "status" and document["dataset"] == "empty")
    assert empty["layout"] != missing["layout"] and board.get("/api/about")["datasets"][0]["dimensions"] == ["step", "device", "channel", "page"]
    assert stream.panel("30d")["answer"]["unique"] == {"estimate": 0, "lower": 0, "upper": 0}
    client.execute_command(*shlex.split(empty["problem"]["fix"]))
    assert stream.panel("now", lambda answer: answer["unique"]["estimate"] == 1)
    assert board.panel("state")["answer"]["cube"]["events"] == 1
    client.delete("shop")
    assert stream.until(lambda kind, document: kind == "status" and document["dataset"] == "missing")
    client.set("shop", "something else")
    assert stream.until(lambda kind, document: kind == "status" and document["problem"] and document["problem"]["kind"] == "wrong_type")


def test_a_question_without_its_group_says_what_to_type(board, server, hll):
    found = board.panel("list.page", where="device:mobile")
    assert found["problem"]["fix"] == "HLL.CUBE.ALTER shop ADD GROUP page,device" and found["answer"] is None
    assert board.panel("list.page", where="page:/0")["answer"]["rows"][1]["value"], "a list does not filter itself"
    redis.Redis(port=server.port).execute_command(*shlex.split(found["problem"]["fix"]))
    hll.cube("shop").add("somebody", step="landing", device="mobile", page="/0")
    wait_for("the group to be known", lambda: (board.panel("list.page", where="device:mobile")["problem"] or {}).get("kind") != "no_group")
    assert board.panel("retention", where=["device:mobile", "page:/0"])["problem"]["kind"] == "unanswerable"


def again(server):
    """The same server on its port once more, as a supervisor would start it."""
    with open(server.log_path, "ab") as log:
        server.process = subprocess.Popen(server.command_line(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=server.directory,
                                          preexec_fn=servers._die_with_parent)
    assert server._wait_until_ready()


def test_a_server_that_dies_and_comes_back(start, request, tmp_path):
    server = start(next(iter(request.config.hll_servers)), {"appendonly": "yes", "appendfsync": "always"})
    shop = fill(HLL(redis.Redis(port=server.port)), users=30, days=3)
    with Board(url(server), "--cube", "shop") as board:
        stream = board.stream("30d,funnel,state")
        last = stream.panel("30d")
        assert board.get("/api/health")["ok"]
        begin = datetime.now(UTC)
        server.kill()
        gone = stream.until(lambda kind, document: kind == "status" and document["server"] == "gone")
        assert gone["text"] and millis(begin) <= gone["since"] <= millis(datetime.now(UTC))
        assert board.get("/api/health", 503)["since"] == gone["since"]
        kept = board.panel("30d")
        assert kept["answer"] == last["answer"] and kept["problem"] is None and kept["at"] == last["at"], "the last numbers stay"
        assert board.panel("7d")["problem"]["kind"] == "gone"
        again(server)
        assert stream.until(lambda kind, document: kind == "status" and document["server"] == "live")
        shop.add("somebody else", step="landing")
        assert stream.panel("30d", lambda answer: answer["events"] == last["answer"]["events"] + 1)
        assert board.panel("7d")["problem"] is None


def test_a_server_that_hangs_is_gone_until_it_goes_on(start, request, tmp_path):
    server = start(next(iter(request.config.hll_servers)))
    fill(HLL(redis.Redis(port=server.port)), users=30, days=3)
    (tmp_path / "board.toml").write_text("[board.limits]\nanswer_timeout = 1\nconnect_timeout = 1\n")
    with Board(url(server), "--cube", "shop", "--config", tmp_path / "board.toml") as board:
        stream = board.stream("30d")
        stream.panel("30d")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert stream.until(lambda kind, document: kind == "status" and document["server"] == "gone")
            assert board.panel("30d")["answer"], "what is known is told at once"
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        assert stream.until(lambda kind, document: kind == "status" and document["server"] == "live")
    assert "Traceback" not in board.errors


def test_viewers_and_views_are_bounded(one_server, tmp_path):
    server = one_server
    fill(HLL(redis.Redis(port=server.port)), users=60, days=3)
    (tmp_path / "board.toml").write_text('[board.limits]\nviewers = 3\nviews = 2\nanswers = 4\n[[board.cubes]]\nkey = "shop"\n')
    with Board(url(server), "--config", tmp_path / "board.toml") as board:
        first, second = board.stream("now", range="7d"), board.stream("now", range="30d")
        first.panel("now"), second.panel("now")
        third = board.stream("now", range="90d")
        assert "2 different views" in third.until(lambda kind, document: kind == "full")["error"] and third.next()[0] == "end"
        assert board.stream("now", range="7d").panel("now")
        assert "3 viewers" in board.stream("now", range="7d").until(lambda kind, document: kind == "full")["error"]
        first.close()
        wait_for("a place", lambda: "redis_hll_board_viewers 2\n" in board.client.get("/api/metrics").text)
        assert board.stream("now", range="7d").panel("now")
        for page in range(12):  # many views of programs: only so many answers are kept
            assert board.panel("figures", where=f"page:/{page}")["problem"] is None


def test_a_board_may_only_ask_so_much(one_server, tmp_path):
    """With next to no share of the server's time, a program is told to come again later, and nobody waits for ever."""
    server = one_server
    fill(HLL(redis.Redis(port=server.port)), users=60, days=3)
    (tmp_path / "board.toml").write_text('[board.limits]\nshare = 0.00001\nburst = 0.02\nanswer_timeout = 1\n[[board.cubes]]\nkey = "shop"\n')
    with Board(url(server), "--config", tmp_path / "board.toml") as board:
        for number in range(3000):
            answer = board.client.get("/api/shop/figures", params={"where": f"page:{number}"})
            if answer.status_code == 503:
                break
        assert answer.status_code == 503 and "try again" in answer.json()["error"] and answer.headers["retry-after"] == "5"
        assert calls(server, "HLL.CUBE.QUERY") > 10


def test_sketches_and_several_cubes(server, hll, tmp_path):
    fill(hll, "eu", users=30, days=2)
    fill(hll, "us shop", users=30, days=2, zone="America/New_York")
    hll.add_many("visitors:mon", map(str, range(5000)))
    server.c("PFADD", "old", "a", "b")
    server.c("SET", "text", "x")
    (tmp_path / "board.toml").write_text("""
[[board.cubes]]
key = "eu"
title = "Europe"
lists = ["page", "device"]
steps = ["landing", "purchase"]
currency = "EUR"
[board.cubes.labels]
landing = "Looked"
[[board.cubes]]
key = "us shop"
name = "us"
[[board.sketches]]
key = "visitors:mon"
title = "Monday"
[[board.sketches]]
key = "old"
[[board.sketches]]
key = "text"
""")
    with Board(url(server), "--config", tmp_path / "board.toml") as board:
        europe, america, sketches = board.get("/api/about")["datasets"]
        assert (europe["name"], europe["title"], europe["labels"], europe["currency"], europe["money"]) == ("eu", "Europe", {"landing": "Looked"}, "EUR", ["cost", "revenue"])
        assert (america["name"], america["key"], america["zone"], sketches["kind"]) == ("us", "us shop", "America/New_York", "sketches")
        assert [panel["name"] for panel in europe["panels"] if panel["dimension"] in ("page", "device") and panel["name"] != "funnel"] == ["list.page", "list.device"]
        assert board.answer("funnel", dataset="eu")["steps"] == ["landing", "purchase"]
        found = has_its_shape(board.panel("sketches", dataset="sketches"))["answer"]["rows"]
        estimate = hll.estimate("visitors:mon")
        assert found[0] == {"key": "visitors:mon", "title": "Monday", "estimate": interval(estimate), "exact": False, "problem": None}
        assert found[1]["estimate"]["estimate"] == pytest.approx(2, rel=1e-4) and found[2]["problem"]["kind"] == "wrong_type" and found[2]["estimate"] is None
        assert '"us shop"' in board.panel("now", dataset="us")["commands"][0]
        stream = board.stream("sketches", dataset="sketches")
        stream.panel("sketches")
        hll.add_many("visitors:mon", map(str, range(5000, 8000)))
        assert stream.panel("sketches")["answer"]["rows"][0]["estimate"]["estimate"] > estimate.estimate
        assert "filter" in board.panel("sketches", dataset="sketches", status=422, where="a:b")["error"]


def test_the_documented_user_is_enough_and_can_nothing_else(server, hll):
    """The line of deploy/users.acl: every panel has its numbers, and other keys and commands are refused."""
    fill(hll, users=60, days=3)
    hll.monitor("hll:accuracy").track("visitors", exact=5) if hll.add("visitors", "a") else None
    (line,) = [line for line in (ROOT / "deploy" / "users.acl").read_text().splitlines() if line.startswith("user board ")]
    words = line.split()[2:]
    server.c("ACL", "SETUSER", "board", *(">the password" if word.startswith("#") else word for word in words))
    with Board(url(server, user="board:the%20password@"), "--cube", "shop") as board:
        assert "the%20password" not in board.said
        for name in PANELS:
            assert board.panel(name)["problem"] is None, name
        state = board.answer("state")
        assert state["server"] and state["cube"] and state["module"] and state["alerts"][0]["level"] == "critical"
        stream = board.stream(",".join(PANELS))
        assert stream.panel("retention")
    with Board(url(server, user="board:the%20password@"), "--cube", "other") as board:
        assert board.panel("now", dataset="other")["problem"]["kind"] == "not_allowed"
    with Board(url(server, user="board:wrong@"), "--cube", "shop") as board:
        assert board.panel("now")["answer"] is None and board.panel("now")["problem"]


def test_a_cube_of_a_cluster(start, server_name):
    server = start(server_name, {"cluster-enabled": "yes"})
    server.c("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_for("the cluster", lambda: b"cluster_state:ok" in server.c("CLUSTER", "INFO"))
    shop = fill(HLL(redis.Redis(port=server.port)), users=30, days=2)
    with running(url(server), "--cube", "shop", "--cluster") as board:
        for name in PANELS:
            assert board.panel(name)["problem"] is None, name
        assert board.answer("state")["module"]["cube_keys"] == 1
        stream = board.stream("now")
        events = stream.panel("now")["answer"]["events"]
        shop.add("somebody else", step="landing")
        assert stream.panel("now", lambda answer: answer["events"] == events + 1)


def test_names_that_are_no_text(server, hll):
    cube = hll.cube("shop")
    cube.create(dimensions=["page", "device"], groups=["page,device"])
    cube.add("a", page=b"/caf\xe9", device='with "quotes" and \\')
    with Board(url(server), "--cube", "shop") as board:
        assert board.answer("list.page")["rows"][0]["value"] == "/caf�"
        found = board.panel("figures", where='device:with "quotes" and \\')
        assert found["answer"]["events"] == 1
        assert cube_commands.query("shop", where={"device": 'with "quotes" and \\'}).words[3].decode() in shlex.split(found["commands"][0])
        assert board.panel("funnel")["problem"]["kind"] == "not_configured" and board.panel("campaign")["problem"]["kind"] == "not_configured"
        json.dumps(board.panel("list.page"), allow_nan=False)


