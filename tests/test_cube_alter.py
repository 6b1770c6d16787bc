"""HLL.CUBE.ALTER: a cube is changed while it is written, and is the same on replicas and in files."""

from helpers import digest, refused
from servers import wait_for
from test_cube import CREATE, DAY, HOUR, START, attach, caught_up, count, mapping

ADD_COUNTRY = ["HLL.CUBE.ALTER", "shop", "ADD", "DIMENSION", "country", "VALUES", 250]


def rows(client, *words):
    return mapping(client, client("HLL.CUBE.QUERY", "shop", *words))


def info(client):
    described = mapping(client, client("HLL.CUBE.INFO", "shop"))
    columns = [mapping(client, column) for column in described["columns"]]
    return described, {column["name"]: column for column in columns}


def write(client, hours, **fields):
    for hour in hours:
        words = [word for field in fields.items() for word in field]
        assert client("HLL.CUBE.ADD", "shop", int(START + hour * HOUR), f"u:{hour}", *words) == 1


def test_what_is_added_begins_with_the_next_slice(client):
    client("HLL.CUBE.CREATE", "shop", *CREATE)
    write(client, range(10), device="mobile", revenue=1)
    assert client(*ADD_COUNTRY) == "OK"
    assert client("HLL.CUBE.ALTER", "shop", "ADD", "GROUP", "country,device", "VALUES", 20) == "OK"
    assert client("HLL.CUBE.ALTER", "shop", "ADD", "MEASURE", "cost") == "OK"
    described, columns = info(client)
    since = START + 10 * HOUR
    assert {name: column["since"] for name, column in columns.items()} == {
        "": None, "device": None, "page": None, "device,page": None, "country": since, "country,device": since}
    assert described["measures"] == [b"revenue", b"cost"] and described["measures_since"] == [None, since]
    assert abs(described["memory_bytes"] - client("MEMORY", "USAGE", "shop")) < 256
    write(client, [9.5], device="mobile", country="DE", cost=5)
    assert rows(client, "BY", "country")["rows"] == []
    write(client, range(10, 30), device="mobile", country="DE", cost=5)
    by_country = rows(client, "BY", "country", "METRICS", 1, "events")
    assert by_country["from"] == since and by_country["rows"][0]["events"] == 20
    both = count(client, "WHERE", "country", "DE", "WHERE", "device", "mobile")
    assert both["from"] == since and both["events"] == 20 and both["cost"] == 100 and both["revenue"] == 0
    # Of all the time the measure is unknown, and asked for by name it is told from where it began.
    assert count(client)["events"] == 31 and count(client)["cost"] is None and count(client)["from"] == START
    named = rows(client, "METRICS", 1, "cost")
    assert named["from"] == since and named["rows"] == [{"cost": 100}]
    hourly = rows(client, "BUCKET", "1h", "FILL", "ZERO", "WHERE", "country", "NOT", 1, "x", "METRICS", 1, "events",
                  "FROM", START + 8 * HOUR, "TO", START + 12 * HOUR)["rows"]
    assert [row["events"] for row in hourly] == [None, None, 1, 1]
    series = mapping(client, client("HLL.CUBE.SERIES", "shop", "BUCKET", "1d"))["rows"]
    assert [row["cost"] for row in series] == [None, 30]


def test_retentions_and_caps(client):
    client("HLL.CUBE.CREATE", "shop", *CREATE)
    write(client, range(60), device="mobile")
    assert client("HLL.CUBE.ALTER", "shop", "RETENTION", "1h", "30h") == "OK"
    tiers = [mapping(client, tier) for tier in info(client)[0]["tiers"]]
    assert tiers[0]["retention"] == "30h" and tiers[0]["oldest"] >= START + 28 * HOUR
    assert client("HLL.CUBE.ALTER", "shop", "VALUES", "page", 7) == "OK"
    assert client("HLL.CUBE.ALTER", "shop", "VALUES", "page,device", 9) == "OK"
    columns = info(client)[1]
    assert columns["page"]["cap"] == 7 and columns["device,page"]["cap"] == 9
    assert count(client)["events"] == 60


BAD = [
    (["ADD", "DIMENSION", "device"], "twice"),
    (["ADD", "MEASURE", "page"], "twice"),
    (["ADD", "MEASURE", "Unique"], "word of questions"),
    (["ADD", "DIMENSION", "returning"], "word of questions"),
    (["ADD", "DIMENSION", "7up"], "cannot be a name"),
    (["ADD", "GROUP", "page,device"], "two groups"),
    (["ADD", "GROUP", "page,colour"], "no dimension"),
    (["ADD", "GROUP", "page"], "2 to 4 dimensions"),
    (["ADD", "DIMENSION", "a", "VALUES", 0], "values"),
    (["ADD", "DIMENSION", "a", "PRECISION", 17], "precision"),
    (["ADD"], "DIMENSION or GROUP or MEASURE is missing"),
    (["ADD", "TIER", "1w", "53w"], "DIMENSION or GROUP or MEASURE is missing"),
    (["RETENTION", "1h", "20h"], "must be kept for 1d"),
    (["RETENTION", "2h", "3d"], "name one of: 1h, 1d, 1mo"),
    (["RETENTION", "1d", "99999d"], "10000 slices"),
    (["RETENTION", "1d"], "without its value"),
    (["VALUES", "colour", 5], "no dimension or group"),
    (["VALUES", "page", 0], "values"),
    (["VALUES", "page", 5, "RETENTION", "1h", "3d"], "give one of them"),
    ([], "is missing"),
    (["EXPIRE"], "unknown option"),
]


def test_bad_changes_change_nothing(client):
    client("HLL.CUBE.CREATE", "shop", *CREATE)
    write(client, range(3), device="mobile")
    before = digest(client, "shop")
    for words, message in BAD:
        refused(client, "HLL.CUBE.ALTER", "shop", *words, match=f"ERR HLL: .*{message}")
        assert digest(client, "shop") == before, words
    refused(client, "HLL.CUBE.ALTER", "none", "VALUES", "page", 5, match="no such key")
    for i in range(30):
        assert client("HLL.CUBE.ALTER", "shop", "ADD", "DIMENSION", f"d{i}") == "OK"
    refused(client, "HLL.CUBE.ALTER", "shop", "ADD", "DIMENSION", "more", match="at most 32 dimensions")


def test_a_change_that_changes_nothing_is_not_told(client):
    client("HLL.CUBE.CREATE", "shop", *CREATE)
    before = digest(client, "shop")
    told = client("INFO", "persistence").split(b"rdb_changes_since_last_save:")[1].split()[0]
    assert client("HLL.CUBE.ALTER", "shop", "RETENTION", "1h", "48h") == "OK"
    assert client("HLL.CUBE.ALTER", "shop", "VALUES", "page", 3) == "OK"
    assert digest(client, "shop") == before
    assert client("INFO", "persistence").split(b"rdb_changes_since_last_save:")[1].split()[0] == told


def test_primary_replicas_and_files_are_one(start, server_name):
    quiet = {"repl-ping-replica-period": "3600", "repl-diskless-sync-delay": "0"}
    primary = start(server_name, {"appendonly": "yes", "aof-use-rdb-preamble": "no", "auto-aof-rewrite-percentage": "0", **quiet})
    replicas = [start(server_name)]
    attach(replicas[0], primary)
    c = primary.c
    c("HLL.CUBE.CREATE", "shop", *CREATE)
    changes = {100: ["ADD", "DIMENSION", "country", "VALUES", 3], 200: ["ADD", "MEASURE", "cost"], 300: ["ADD", "GROUP", "country,device"],
               400: ["VALUES", "page", 2], 500: ["RETENTION", "1h", "3d"], 600: ["ADD", "DIMENSION", "late_one"], 700: ["RETENTION", "1h", "30h"]}
    added = []
    for i in range(900):
        if i in changes:
            assert c("HLL.CUBE.ALTER", "shop", *changes[i]) == "OK"
            added += [[changes[i][2], i % 7]] if changes[i][1] in ("DIMENSION", "MEASURE") else []
        late = 3 * HOUR if i % 9 == 4 and i > 90 else 0
        more = [word for name, value in added for word in (name, value * i % 7)]
        c("HLL.CUBE.ADD", "shop", START + i * DAY // 20 - late, f"u:{i % 90}", "device", i % 5, "page", i % 13, "revenue", i, *more)
        if i == 450:
            replicas.append(start(server_name))
            attach(replicas[1], primary)
        if i % 100 == 0:
            for replica in replicas:
                wait_for("the replica to catch up", lambda: caught_up(replica, primary))
                assert digest(replica.c, "shop") == digest(c, "shop")
    before = digest(c, "shop")
    c("DEBUG", "LOADAOF")
    assert digest(c, "shop") == before
    c("BGREWRITEAOF")
    wait_for("the end of BGREWRITEAOF", lambda: primary.info(section="persistence")["aof_rewrite_in_progress"] in (0, "0")
             and primary.info(section="persistence")["aof_rewrite_scheduled"] in (0, "0"))
    c("DEBUG", "LOADAOF")
    assert digest(c, "shop") == before
    c("COPY", "shop", "copy")
    assert digest(c, "copy") == before
    c("DEBUG", "RELOAD")
    assert digest(c, "shop") == before
    info_before, _ = info_of(replicas[0].c)
    assert info_before == info_of(c)[0]


def info_of(c):
    c.protocol = getattr(c, "protocol", 2)
    described, columns = info(c)
    kept = ("newest", "late", "measures", "measures_since", "waiting")
    return {name: described[name] for name in kept}, columns
