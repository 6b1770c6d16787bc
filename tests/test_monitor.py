"""The accuracy monitor: samples, levels, alerts and who hears of them, the report, persistence and replication; and HLL.STATS."""

import json
import random

import pytest

from helpers import add, digest, elements, refused
from resp import ReplyError
from servers import wait_for
from test_cube import mapping as flat_mapping

DAY = 86_400_000
START = 1_764_000_000_000

TRACK_FIELDS = ["context", "estimate", "lower", "upper", "exact", "error_rate", "relative_error", "level", "within_bounds"]
SUMMARY = ["samples", "average_error", "max_error", "relative_error", "within_bounds", "accuracy_score", "trend"]


def mapping(client, reply):
    """A reply with fields as a dict, with those inside it."""
    found = flat_mapping(client, reply)
    for name in ("contexts", "recommendations"):
        if name in found:
            found[name] = [mapping(client, one) for one in found[name]]
    if "trend" in found:
        found["trend"] = mapping(client, found["trend"])
    return found


def stats(client):
    return mapping(client, client("HLL.STATS"))


def info(client):
    lines = client("INFO", "hll").decode().splitlines()
    return {name.removeprefix("hll_"): value for name, value in (line.split(":", 1) for line in lines if ":" in line)}


def track(client, *words, monitor="m"):
    return mapping(client, client("HLL.ACCURACY.TRACK", monitor, *words))


def report(client, *words):
    return mapping(client, client("HLL.ACCURACY.REPORT", "m", *words))


def alerts(client, *words):
    return [mapping(client, alert) for alert in client("HLL.ACCURACY.ALERTS", "m", *words)]


def off_by(client, error, context="daily", at=START, monitor="m"):
    """A sample of `s` (1,000 users, counted exactly) that is so far off."""
    return track(client, "s", "EXACT", round(1_000 / (1 + error)), "CONTEXT", context, "AT", at, monitor=monitor)


def test_a_sample_and_its_level(client):
    add(client, "s", elements(0, 1_000))
    answer = off_by(client, 0.07)
    assert list(answer) == TRACK_FIELDS
    exact = round(1_000 / 1.07)
    assert (answer["context"], answer["estimate"], answer["exact"], answer["level"]) == ("daily", 1_000, exact, "warning")
    assert answer["error_rate"] == pytest.approx((1_000 - exact) / exact)
    assert answer["lower"] <= 1_000 <= answer["upper"] and answer["within_bounds"] == "no"
    assert off_by(client, 0.12)["level"] == "critical"
    assert off_by(client, -0.12)["level"] == "critical"
    good = track(client, "s", "EXACT", 1_000)
    assert (good["context"], good["level"], good["within_bounds"], good["error_rate"]) == ("default", "ok", "yes", 0)
    assert client("TYPE", "m") in ("HLLaccrcy", b"HLLaccrcy")
    client("CONFIG", "SET", "hll.accuracy-warning", "0.2", "hll.accuracy-critical", "0.3")
    assert off_by(client, 0.12)["level"] == "ok"
    client("CONFIG", "SET", "hll.accuracy-warning", "0.05", "hll.accuracy-critical", "0.1")


def test_alerts_are_raised_once_and_everybody_hears(start, server_name, protocol):
    server = start(server_name)
    client, listener = server.client(protocol), server.client(2)
    client("CONFIG", "SET", "notify-keyspace-events", "KEAd")
    listener("SUBSCRIBE", "hll:alerts")
    heard = server.client(2)
    heard("SUBSCRIBE", "__keyspace@0__:m")
    add(client, "s", elements(0, 1_000))
    before = stats(client)
    for error in (0.01, 0.07, 0.07, 0.12, 0.13, 0.07):
        off_by(client, error)
    messages = [json.loads(listener.read()[2]) for _ in range(2)]
    assert [message["level"] for message in messages] == ["warning", "critical"]
    assert messages[1] == {"monitor": "m", "context": "daily", "level": "critical", "estimate": 1_000, "exact": 893,
                           "error_rate": pytest.approx(107 / 893), "threshold": 0.1, "at": START}
    events = [heard.read()[2] for _ in range(8)]
    assert events == [b"hll.accuracy.track"] * 2 + [b"hll.accuracy.alert"] + [b"hll.accuracy.track"] * 2 + [b"hll.accuracy.alert"] + \
        [b"hll.accuracy.track"] * 2
    kept = alerts(client)
    assert [(alert["level"], alert["exact"], alert["threshold"]) for alert in kept] == [("critical", 893, 0.1), ("warning", 935, 0.05)]
    assert list(kept[0]) == ["at", "context", "level", "estimate", "exact", "error_rate", "threshold"]
    assert alerts(client, "COUNT", 1) == kept[:1]
    after = stats(client)
    assert after["accuracy_alerts_warning"] - before["accuracy_alerts_warning"] == 1
    assert after["accuracy_alerts_critical"] - before["accuracy_alerts_critical"] == 1
    assert after["accuracy_samples"] - before["accuracy_samples"] == 6
    assert (after["accuracy_warning_now"], after["accuracy_critical_now"]) == (1, 0)
    off_by(client, 0.2)
    assert (stats(client)["accuracy_warning_now"], stats(client)["accuracy_critical_now"]) == (0, 1)
    assert client("HLL.ACCURACY.RESET", "m", "CONTEXT", "daily") == "OK"
    assert stats(client)["accuracy_critical_now"] == 0 and alerts(client) == []
    # It is judged anew.
    off_by(client, 0.2)
    assert stats(client)["accuracy_critical_now"] == 1
    client("DEL", "m")
    assert wait_for("the value to be freed", lambda: stats(client)["accuracy_critical_now"] == 0)


def test_nothing_is_published_where_nothing_rose(client, server):
    listener = server.client(2)
    listener("SUBSCRIBE", "hll:alerts")
    add(client, "s", elements(0, 1_000))
    for _ in range(3):
        off_by(client, 0.01)
    client("PUBLISH", "hll:alerts", "end")
    assert listener.read()[2] == b"end"


def test_a_set_of_the_servers_own_is_the_truth(client):
    add(client, "s", elements(0, 500))
    for i in range(0, 500, 100):
        client("SADD", "exact", *elements(i, i + 100))
    answer = track(client, "s", "EXACTKEY", "exact")
    assert (answer["exact"], answer["level"], answer["within_bounds"]) == (500, "ok", "yes")
    client("PFADD", "pf", *elements(0, 500))
    assert track(client, "pf", "EXACTKEY", "exact")["exact"] == 500


def test_a_cube_is_tracked_by_time_and_condition(client):
    client("HLL.CUBE.CREATE", "shop", "DIMENSION", "device", "VALUES", 4, "TIER", "1h", "48h", "TIER", "1d", "30d")
    rows = [word for i in range(600) for word in (START + i * 1_000, f"u:{i}", ["mobile", "desktop"][i % 2])]
    client("HLL.CUBE.MADD", "shop", "FIELDS", 1, "device", "ROWS", *rows)
    everything = track(client, "CUBE", "shop", "EXACT", 600)
    assert (everything["estimate"], everything["level"]) == (600, "ok")
    mobile = track(client, "CUBE", "shop", "LAST", "1d", "AT", START + DAY // 2, "WHERE", "device", "mobile", "EXACT", 300, "AT", START)
    assert mobile["estimate"] == 300
    counted = mapping(client, client("HLL.CUBE.COUNT", "shop", "WHERE", "device", "mobile"))
    assert (mobile["lower"], mobile["upper"]) == (counted["unique_lower"], counted["unique_upper"])
    refused(client, "HLL.ACCURACY.TRACK", "m", "CUBE", "shop", "WHERE", "colour", "red", "EXACT", 1)
    refused(client, "HLL.ACCURACY.TRACK", "m", "CUBE", "shop", "FROM", START - 400 * DAY, "TO", START - 390 * DAY, "EXACT", 1)
    add(client, "s", ["a"])
    refused(client, "HLL.ACCURACY.TRACK", "m", "s", "LAST", "1d", "EXACT", 1, match="^ERR HLL: a range and WHERE are asked of a cube")


def test_the_report_tells_causes_apart_and_sees_a_trend(client):
    client("HLL.CREATE", "coarse", "PRECISION", 6)
    add(client, "coarse", elements(0, 20_000))
    add(client, "s", elements(0, 1_000))
    for day in range(20):
        off_by(client, 0.12 if day % 2 else 0.13, context="two spellings", at=START + day * DAY)
        off_by(client, 0.002 * (day % 3) + (0.02 if day >= 10 else 0), context="rising", at=START + day * DAY)
    coarse = mapping(client, client("HLL.ESTIMATE", 1, "coarse"))["estimate"]
    track(client, "coarse", "EXACT", round(coarse / 1.06), "CONTEXT", "coarse", "AT", START + 5 * DAY)
    whole = report(client)
    assert list(whole) == [*SUMMARY, "contexts", "recommendations"]
    assert whole["samples"] == 41 and whole["max_error"] == pytest.approx(0.13, abs=0.001)
    assert whole["accuracy_score"] == pytest.approx(100 - 100 * whole["average_error"])
    contexts = {one["context"]: one for one in whole["contexts"]}
    assert sorted(contexts) == ["coarse", "rising", "two spellings"] == [one["context"] for one in whole["contexts"]]
    assert list(contexts["rising"]) == ["context", "level", *SUMMARY]
    assert contexts["rising"]["trend"]["direction"] == "rising"
    assert contexts["two spellings"]["trend"]["direction"] == "steady"
    assert contexts["two spellings"]["level"] == "critical"
    advice = {one["context"]: one for one in whole["recommendations"]}
    assert [one["context"] for one in whole["recommendations"]] == ["two spellings", "coarse"]
    assert (advice["two spellings"]["priority"], advice["two spellings"]["cause"], advice["two spellings"]["precision"]) == ("HIGH", "data", 13)
    assert (advice["coarse"]["priority"], advice["coarse"]["cause"], advice["coarse"]["precision"]) == ("MEDIUM", "precision", 10)
    client("HLL.CREATE", "ten", "PRECISION", 10)
    add(client, "ten", elements(0, 20_000))
    used = mapping(client, client("HLL.INFO", "ten"))["memory_bytes"]
    assert advice["coarse"]["memory_bytes"] == used
    # A window, and one in which nothing was.
    assert report(client, "WINDOW", "1d", "AT", START + 19 * DAY)["samples"] == 2
    assert report(client, "AT", START)["samples"] == 2
    nothing = report(client, "WINDOW", "1d", "AT", START - DAY)
    assert nothing["samples"] == 0 and nothing["average_error"] is None and nothing["accuracy_score"] is None
    assert nothing["contexts"] == [] == nothing["recommendations"] and nothing["trend"]["earlier_error"] is None


def test_what_cannot_be_is_refused_and_changes_nothing(client):
    add(client, "s", ["a", "b"])
    off_by(client, 0.0)
    client("SET", "text", "x")
    client("SADD", "set", "x")
    for words in (["s"], ["s", "EXACT", 0], ["s", "EXACT", -1], ["s", "EXACT", "x"], ["s", "EXACT", 1, "EXACTKEY", "set"],
                  ["s", "EXACTKEY", "none"], ["none", "EXACT", 1], ["CUBE", "none", "EXACT", 1], ["s", "EXACT", 1, "CONTEXT", "x" * 257],
                  ["s", "EXACT", 1, "CONTEXT", ""], ["s", "EXACT", 1, "EXACT", 1], ["s", "EXACT", 1, "AT", "tomorrow"], ["s", "EXACT", 1, "MORE"]):
        refused(client, "HLL.ACCURACY.TRACK", "m", *words)
        refused(client, "HLL.ACCURACY.TRACK", "new", *words)
    wrong = "^WRONGTYPE"
    for call in (["HLL.ACCURACY.TRACK", "s", "s", "EXACT", 1], ["HLL.ACCURACY.TRACK", "m", "m", "EXACT", 1],
                 ["HLL.ACCURACY.TRACK", "m", "s", "EXACTKEY", "text"], ["HLL.ACCURACY.TRACK", "m", "CUBE", "s", "EXACT", 1],
                 ["HLL.ACCURACY.TRACK", "m", "set", "EXACT", 1], ["HLL.ACCURACY.REPORT", "s"], ["HLL.ACCURACY.ALERTS", "set"],
                 ["HLL.ACCURACY.RESET", "s"], ["HLL.COUNT", "m"], ["HLL.ADD", "m", "x"], ["HLL.CUBE.COUNT", "m"]):
        refused(client, *call, match=wrong)
    for call in (["HLL.ACCURACY.REPORT", "none"], ["HLL.ACCURACY.ALERTS", "none"], ["HLL.ACCURACY.ALERTS", "m", "COUNT", 0],
                 ["HLL.ACCURACY.ALERTS", "m", "COUNT", 1_001], ["HLL.ACCURACY.REPORT", "m", "WINDOW", "x"]):
        refused(client, *call)
    assert client("HLL.ACCURACY.RESET", "none") == "OK" and client("EXISTS", "none") == 0


def test_keys_are_found_wherever_they_stand(client):
    assert client("COMMAND", "GETKEYS", "HLL.ACCURACY.TRACK", "m", "s", "EXACT", "5", "CONTEXT", "c") == [b"m", b"s"]
    assert client("COMMAND", "GETKEYS", "HLL.ACCURACY.TRACK", "m", "CUBE", "k", "LAST", "1d", "EXACTKEY", "e") == [b"m", b"k", b"e"]
    client("ACL", "SETUSER", "tracker", "on", ">pw", "~m", "%R~s", "%R~e", "+hll.accuracy.track")
    for words, allowed in ((["m", "s", "EXACT", 1], True), (["m", "s", "EXACTKEY", "e"], True), (["m", "t", "EXACT", 1], False),
                           (["m", "CUBE", "t", "EXACT", 1], False), (["m", "s", "EXACTKEY", "t"], False), (["s", "s", "EXACT", 1], False),
                           (["m", "CUBE", "s", "EXACT", 1], True)):
        assert (client("ACL", "DRYRUN", "tracker", "HLL.ACCURACY.TRACK", *words) == "OK") == allowed, words
    client("ACL", "DELUSER", "tracker")


def filled(client, samples):
    """A monitor of so many samples, some of them bad, in twenty contexts."""
    add(client, "s", elements(0, 1_000))
    calls = [["HLL.ACCURACY.TRACK", "m", "s", "EXACT", 850 + i * 37 % 300, "CONTEXT", f"c{i % 20}", "AT", START + i * 1_000] for i in range(samples)]
    for at in range(0, samples, 1_000):
        assert not [reply for reply in client.pipe(calls[at:at + 1_000]) if isinstance(reply, ReplyError)]


def test_ten_thousand_samples_are_kept_and_the_oldest_go_first(start, server_name):
    server = start(server_name)
    client = server.c
    filled(client, 10_500)
    whole = report(client)
    assert whole["samples"] == 10_000 and len(whole["contexts"]) == 20
    assert report(client, "AT", START + 499_000)["samples"] == 0
    assert report(client, "AT", START + 500_000)["samples"] == 1
    assert len(alerts(client, "COUNT", 1_000)) == 1_000
    used = client("MEMORY", "USAGE", "m")
    assert used < 1_200_000
    # The same after a restart, a copy, a dump, a rewritten append-only file.
    before = (report(client), alerts(client, "COUNT", 1_000), digest(client, "m"))
    client("COPY", "m", "copy")
    assert digest(client, "copy") == before[2]
    payload = client("DUMP", "m")
    client("RESTORE", "restored", 0, payload)
    assert digest(client, "restored") == before[2]
    client("DEBUG", "RELOAD")
    assert (report(client), alerts(client, "COUNT", 1_000), digest(client, "m")) == before
    client("CONFIG", "SET", "aof-use-rdb-preamble", "no", "appendonly", "yes")
    assert wait_for("the rewrite", lambda: b"aof_rewrite_in_progress:0" in client("INFO", "persistence"))
    client("DEBUG", "LOADAOF")
    assert (report(client), alerts(client, "COUNT", 1_000), digest(client, "m")) == before
    # Fewer are kept from the next sample on.
    client("CONFIG", "SET", "hll.accuracy-samples", 100)
    off_by(client, 0.0)
    assert report(client)["samples"] == 100
    assert client("MEMORY", "USAGE", "m") < used / 3


def test_replicas_end_alike_whatever_their_settings(start, server_name):
    primary = start(server_name)
    early = start(server_name, options={"replicaof": f"127.0.0.1 {primary.port}"}, module_args=["accuracy-samples", 10, "accuracy-warning", "0.9"])
    c = primary.c
    assert wait_for("the replica", lambda: b"master_link_status:up" in early.c("INFO", "replication"))
    heard = early.client(2)
    heard("SUBSCRIBE", "hll:alerts")
    filled(c, 500)
    assert json.loads(heard.read()[2])["monitor"] == "m"
    late = start(server_name, options={"replicaof": f"127.0.0.1 {primary.port}"})
    assert wait_for("the replica", lambda: b"master_link_status:up" in late.c("INFO", "replication"))
    c("HLL.ACCURACY.RESET", "m", "CONTEXT", "c7")
    for i in range(30):
        off_by(c, 0.01 * i, context=f"new{i % 7}")
    assert c("WAIT", 2, 10_000) == 2
    early.c("CONFIG", "SET", "hll.accuracy-warning", "0.05")  # which decides on recommendations, not on what is kept
    for replica in (early, late):
        assert digest(replica.c, "m") == digest(c, "m")
        assert report(replica.c, "AT", START + 10 * DAY) == report(c, "AT", START + 10 * DAY)
        assert [stats(replica.c)[name] for name in ("accuracy_warning_now", "accuracy_critical_now")] == \
            [stats(c)[name] for name in ("accuracy_warning_now", "accuracy_critical_now")]
        with pytest.raises(ReplyError, match="READONLY"):
            replica.c("HLL.ACCURACY.TRACK", "m", "s", "EXACT", 5)
    # And a replica that takes over goes on as the primary would.
    early.c("REPLICAOF", "NO", "ONE")
    early.c("CONFIG", "SET", "hll.accuracy-samples", 10_000)
    for client in (c, early.c):
        off_by(client, 0.2, context="after", at=START)
    assert digest(early.c, "m") == digest(c, "m")


def test_damaged_payloads_are_refused_and_counted(start, server_name, protocol):
    server = start(server_name)
    client = server.client(protocol)
    filled(client, 50)
    before = stats(client)["rejected_payloads"]
    rng = random.Random(f"{server_name} {protocol}")
    dump = client("DUMP", "m")
    for _ in range(20):
        at = rng.randrange(len(dump) - 10)
        with pytest.raises(ReplyError):
            client("RESTORE", "bad", 0, dump[:at] + bytes([dump[at] ^ 0xFF]) + dump[at + 1:])
    for content in (b"", b"\x04", b"\x05\x01\x00\x00\x00\x00\x00", b"\x04\x01\x00\x00\x00\x00\x00"):
        with pytest.raises(ReplyError, match="^ERR HLL"):
            client("HLL.REPLAY", "m", content)
    with pytest.raises(ReplyError, match="^ERR HLL"):
        client("HLL.IMPORT", "x", "FORMAT", "NATIVE", b"nonsense")
    assert stats(client)["rejected_payloads"] - before >= 5
    assert client("EXISTS", "bad", "x") == 0


# ---- HLL.STATS and INFO ---------------------------------------------------------------------------------------------


def test_stats_are_those_of_info(client):
    told, asked = info(client), stats(client)
    assert list(told) == list(asked)
    moving = {"calls"}
    assert {name: str(value) for name, value in asked.items() if name not in moving} == \
        {name: value for name, value in told.items() if name not in moving}
    assert asked["cluster_timeouts_by_node"] == ""  # nobody to wait for
    client("ACL", "SETUSER", "watcher", "on", ">pw", "+hll.stats")
    assert client("ACL", "DRYRUN", "watcher", "HLL.STATS") == "OK" and client("ACL", "DRYRUN", "watcher", "INFO", "hll") != "OK"
    client("ACL", "DELUSER", "watcher")


def test_counters_count(start, server_name):
    client = start(server_name).c

    def changed(*calls):
        before = stats(client)
        for call in calls:
            try:
                client(*call)
            except ReplyError:
                pass
        after = stats(client)
        return {name: after[name] - before[name] for name in after if name not in ("calls", "version") and after[name] != before[name] and
                not name.endswith("_bytes")}

    calls = stats(client)["calls"]
    assert stats(client)["calls"] == calls + 1
    assert changed(("HLL.ADD", "a", "x", "y"), ("HLL.ADD", "a", "x")) == {"elements_added": 3, "changes": 1, "sketch_keys": 1}
    assert changed(("HLL.COUNT", "a"), ("HLL.ESTIMATE", 1, "a")) == {"estimates_exact": 2}
    add(client, "b", elements(0, 50_000))
    add(client, "c", elements(25_000, 75_000))
    assert changed(("HLL.COUNT", "b")) == {"estimates_hip": 1}
    assert changed(("HLL.COUNT", "b", "c")) == {"estimates_ml": 1}
    solved = changed(("HLL.INTERSECT", 2, "b", "c"))
    assert solved["joint_solutions"] == 1 and solved["joint_microseconds"] > 0
    assert changed(("HLL.INTERSECT", 2, "b", "none")) == {}
    client("HLL.CUBE.CREATE", "shop", "DIMENSION", "page", "VALUES", 2, "TIER", "1h", "24h", "TIER", "1d", "2d")
    row = ("HLL.CUBE.ADD", "shop", "IDMP", "p", "1", START, "u", "page", "a")
    assert changed(row, row) == {"cube_events": 1, "changes": 1, "cube_duplicate_events": 1}
    # Hours go by, with more pages in each than are kept apart: slices are sealed, days are made of them, and pages are others.
    rows = [("HLL.CUBE.ADD", "shop", START + i * 60_000, f"u{i % 50}", "page", f"p{i % 9}") for i in range(1, 3_000)]
    done = changed(*rows)
    assert done["cube_events"] == 2_999 and done["cube_sealing_steps"] > 40 and done["cube_compaction_steps"] > 2
    assert done["cube_other_events"] > 1_000
    late = changed(("HLL.CUBE.ADD", "shop", START + 2_900 * 60_000 - 3 * 3_600_000, "u", "page", "a"))
    assert (late["cube_late_events"], late["cube_events"]) == (1, 1)
    assert changed(("HLL.CUBE.ADD", "shop", START - 300 * DAY, "u", "page", "a")) == {"cube_too_late_events": 1}
    assert stats(client)["cube_backlog_jobs"] == mapping(client, client("HLL.CUBE.INFO", "shop"))["waiting"]
    assert changed(("HLL.ACCURACY.TRACK", "m", "a", "EXACT", 2)) == {"accuracy_samples": 1, "changes": 1, "monitor_keys": 1, "estimates_exact": 1}


def test_what_a_child_saves_is_counted_too(start, server_name):
    client = start(server_name).c
    add(client, "b", elements(0, 50_000))
    before = stats(client)
    client("BGSAVE")
    assert wait_for("the save", lambda: b"rdb_bgsave_in_progress:0" in client("INFO", "persistence"))
    after = stats(client)
    memory, stored = (after[name] - before[name] for name in ("saved_memory_bytes", "saved_bytes"))
    described = mapping(client, client("HLL.INFO", "b"))
    assert memory == described["memory_bytes"] and stored == described["serialized_bytes"] < memory


def test_stats_take_no_time_that_grows_with_keys(client):
    """Not asserted by a clock: the server's own count of looked-up keys does not move."""
    for i in range(100):
        client("HLL.ADD", f"k{i}", "x")
    client("CONFIG", "RESETSTAT")
    client("HLL.STATS")
    client("INFO", "hll")
    text = client("INFO", "stats").decode()
    assert "keyspace_hits:0" in text and "keyspace_misses:0" in text


def test_caught_panics_are_counted(start, server_name):
    server = start(server_name, build="checked")
    server.expects_panic = True
    client = server.c
    before = stats(client)["panics"]
    with pytest.raises(ReplyError, match="internal error"):
        client("HLL.PANIC")
    assert stats(client)["panics"] == before + 1
