"""PF keys are read as they are, in every command that reads, and sketches of their hash go back into PF keys.

The truth is the server's own PFADD, PFCOUNT and PFMERGE on the same elements.
"""

import math

import numpy as np
import pytest

import setcommands
from foreign import PF_REGISTERS, pf_registers
from helpers import OURS, WRONG_TYPE, add, digest, elements, estimate, info, refused
from resp import ReplyError
from setcommands import ask, holds
from test_realdata import RETAINED, months  # noqa: F401 (fixture)

READS = [
    ("HLL.COUNT", "{}"), ("HLL.COUNT", "{}", "pf"), ("HLL.ESTIMATE", 1, "{}"), ("HLL.INTERSECT", 2, "pf", "{}"),
    ("HLL.SEGMENT", "ALL", 1, "{}"), ("HLL.SEGMENT", "ALL", 1, "pf", "NONE", 1, "{}"), ("HLL.SEGMENT", "ANY", 2, "{}", "pf"),
    ("HLL.OVERLAP", 2, "pf", "{}"), ("HLL.FUNNEL", 2, "pf", "{}"), ("HLL.RETENTION", "COHORTS", 1, "{}", "PERIODS", 1, "pf"),
    ("HLL.CAMPAIGN", "pf", "{}", "pf"), ("HLL.INFO", "{}"), ("HLL.ACCURACY", "{}"), ("HLL.EXPORT", "{}"),
    ("HLL.EXPORT", "{}", "FORMAT", "REDIS"), ("HLL.EXPORT", "{}", "BASE64"),
]
WRITES = [("HLL.ADD", "{}", "x"), ("HLL.MERGE", "{}", "pf"), ("HLL.MERGE", "{}", "{}")]

# Adds the elements ARGV[1] .. i for ARGV[2] <= i < ARGV[3] to each key, by PFADD or, if it is there, by HLL.ADD.
FILL = """
local first, last = tonumber(ARGV[2]), tonumber(ARGV[3]) - 1
for start = first, last, 5000 do
    local batch = {}
    for i = start, math.min(last, start + 4999) do batch[#batch + 1] = ARGV[1] .. i end
    for _, key in ipairs(KEYS) do
        local command = redis.call('TYPE', key).ok == 'HLLsketch' and 'HLL.ADD' or 'PFADD'
        redis.call(command, key, unpack(batch))
    end
end
"""


def fill(c, keys, prefix, first, last):
    c("EVAL", FILL, len(keys), *keys, prefix, first, last)


def with_key(command, key):
    return [key if word == "{}" else word for word in command]


# The same registers


def sizes(rng, share):
    """A share of 1,000 set sizes: empty, log-uniform up to 30,000, and one large one of up to a million."""
    large = 10 ** rng.uniform(5, 6) if share < 4 else 10**6
    return [0, int(large)] + [int(10 ** rng.uniform(0, 4.5)) for _ in range(198)]


def test_a_thousand_sets_make_the_same_registers_here_and_there(server, rng):
    """On five servers, 200 each. Elements of all lengths from 1 to 46 bytes, precisions from 14 up."""
    c = server.c
    share = 4 if server.name == "valkey-9.1" else 0
    for n in sizes(rng, share):
        prefix = "".join(rng.choices("abcdefgh:é", k=rng.randrange(40)))
        precision = rng.choice((14, 14, 14, 15, 16, 18))
        c("DEL", "pf", "ours", "back")
        c("PFADD", "pf")
        c("HLL.CREATE", "ours", "HASH", "REDIS", "PRECISION", precision)
        fill(c, ["pf", "ours"], prefix, 0, n)
        exported = c("HLL.EXPORT", "ours", "FORMAT", "REDIS")
        value = c("GET", "pf")
        assert np.array_equal(pf_registers(exported), pf_registers(value)), (n, prefix, precision)
        assert c("HLL.EXPORT", "pf", "FORMAT", "REDIS") == exported
        c("SET", "back", exported)
        assert c("PFCOUNT", "back") == c("PFCOUNT", "pf"), (n, prefix, precision)


def test_an_export_is_a_pf_key_that_goes_on(client, rng):
    """PFADD and PFMERGE take it for their own, sparse and dense."""
    for n in (0, 1, 100, 1000, 5000, 100_000):
        client("DEL", "pf", "ours", "back", "both")
        client("PFADD", "pf")
        client("HLL.CREATE", "ours", "HASH", "REDIS", "PRECISION", 14)
        fill(client, ["pf", "ours"], "x", 0, n)
        exported = client("HLL.EXPORT", "ours", "FORMAT", "REDIS")
        assert len(exported) <= max(len(client("GET", "pf")), 18)
        client("SET", "back", exported)
        fill(client, ["pf", "back"], "x", n, n + 50)
        assert client("PFCOUNT", "back") == client("PFCOUNT", "pf")
        client("PFMERGE", "both", "back", "pf")
        assert client("PFCOUNT", "both") == client("PFCOUNT", "pf")
        assert np.array_equal(pf_registers(client("GET", "back")), pf_registers(client("GET", "pf")))


def test_import_takes_a_pf_value(client):
    for n in (0, 300, 60_000):
        client("DEL", "pf")
        client("PFADD", "pf")
        fill(client, ["pf"], "x", 0, n)
        value = client("GET", "pf")
        assert client("HLL.IMPORT", "k", "FORMAT", "REDIS", value, "REPLACE") == "OK"
        described = info(client, "k")
        assert (described["hash"], described["precision"], described["type"]) == ("redis", 14, "HLLsketch")
        assert client("HLL.COUNT", "k") == client("HLL.COUNT", "pf")
        assert client("HLL.ADD", "k", "x0" if n else "") == (0 if n else 1)


def test_a_merge_of_pf_keys_is_their_pfmerge(client):
    for i, n in enumerate((0, 40, 700, 30_000)):
        client("PFADD", f"pf{i}")
        fill(client, [f"pf{i}"], f"set{i // 2}:", 0, n)
    names = [f"pf{i}" for i in range(4)]
    client("PFMERGE", "theirs", *names)
    client("HLL.MERGE", "ours", *names)
    assert np.array_equal(pf_registers(client("HLL.EXPORT", "ours", "FORMAT", "REDIS")), pf_registers(client("GET", "theirs")))
    assert client("HLL.COUNT", *names) == client("HLL.COUNT", "theirs") == client("HLL.COUNT", "ours", "pf1")
    # It is a sketch now, and takes elements of the same universe.
    assert client("HLL.ADD", "ours", "set1:5") == 0
    assert info(client, "ours")["history"] == "no"


def test_pf_keys_and_our_sketches_in_one_union(client):
    client("HLL.CREATE", "ours", "HASH", "REDIS", "PRECISION", 16)
    fill(client, ["ours"], "x", 0, 500)
    client("PFADD", "pf", *[f"x{i}" for i in range(400, 1000)])
    assert abs(client("HLL.COUNT", "ours", "pf") - 1000) < 40
    assert info(client, "ours")["estimator"] == "exact"  # reading changed nothing


# Every command reads


@pytest.mark.parametrize("n", [0, 2, 900, 50_000])
def test_every_read_accepts_a_pf_key_and_leaves_it_as_it_was(client, n):
    """Its bytes and its time to live; also while it is small enough to be embedded in its object. (Then the server may take it out
    of there, as its own PFCOUNT does.)"""
    client("PFADD", "pf", *elements(0, 2000))
    client("PFADD", "k")
    fill(client, ["k"], "user:", 0, n)
    client("SET", "k", client("GET", "k"))  # as a client would that moves it
    client("EXPIRE", "k", 1000)
    kept = [client("GET", key) for key in ("k", "pf")]
    assert n > 2 or client("OBJECT", "ENCODING", "k") == b"embstr"
    before = digest(client)
    for command in READS:
        client(*with_key(command, "k"))
    assert [client("GET", key) for key in ("k", "pf")] == kept
    assert {client("OBJECT", "ENCODING", key) for key in ("k", "pf")} == {b"raw"}
    assert 990 <= client("TTL", "k") <= 1000
    assert digest(client) == before


@pytest.mark.parametrize("n", [0, 2, 900])
def test_reading_a_pf_key_is_one_hit_and_no_other_command(client, server, n):
    """Small ones were read by a GET of ours that showed in the statistics."""
    client("PFADD", "k")
    fill(client, ["k"], "user:", 0, n)
    client("SET", "k", client("GET", "k"))
    client("CONFIG", "RESETSTAT")
    client("HLL.COUNT", "k")
    statistics = server.info(section="stats")
    assert (statistics["keyspace_hits"], statistics["keyspace_misses"]) == ("1", "0")
    assert "cmdstat_get" not in server.info(section="commandstats")


@pytest.mark.parametrize("n", [0, 2, 900, 50_000])
def test_a_pf_key_answers_like_a_sketch_of_the_same_registers(client, n):
    client("PFADD", "pf", *elements(0, 2000))
    client("PFADD", "k")
    fill(client, ["k"], "user:", 0, n)
    client("HLL.IMPORT", "s", "FORMAT", "REDIS", client("GET", "k"))
    for command in READS:
        if command[0] not in ("HLL.INFO", "HLL.ACCURACY"):
            of_pf, of_sketch = client(*with_key(command, "k")), client(*with_key(command, "s"))
            assert repr(of_pf).replace("b'k'", "b's'") == repr(of_sketch), command
    e = estimate(client, "k")
    assert e["lower"] <= n <= e["upper"] or abs(e["estimate"] - n) < 4 * e["relative_error"] * n


def test_info_and_accuracy_say_what_it_is(client):
    client("PFADD", "k", *elements(0, 2000))
    described = info(client, "k")
    size = client("STRLEN", "k")
    assert (described["type"], described["precision"], described["encoding"], described["hash"], described["history"]) == \
        ("string", 14, "dense", "redis", "no")
    assert (described["memory_bytes"], described["serialized_bytes"], described["compression"]) == (size, size, "pf")
    assert ask(client, "HLL.ACCURACY", "k")["bytes"] == size


def test_the_cached_count_is_neither_believed_nor_touched(client):
    client("PFADD", "k", *elements(0, 2000))
    counted = client("HLL.COUNT", "k")
    value = client("GET", "k")
    lie = value[:8] + (123456789).to_bytes(8, "little") + value[16:]
    client("SET", "k", lie)
    assert client("PFCOUNT", "k") == 123456789
    assert client("HLL.COUNT", "k") == counted
    assert client("GET", "k") == lie


@pytest.mark.parametrize("n", [2, 900, 50_000])
def test_pf_keys_are_read_wherever_commands_run(client, server, n):
    """In transactions, in scripts that may not write, and for users who may call nothing but the command itself: how short
    strings are fetched is nobody's business."""
    fill(client, ["k"], "user:", 0, n)
    counted = client("HLL.COUNT", "k")
    client("MULTI")
    client("HLL.COUNT", "k")
    client("HLL.ESTIMATE", 1, "k")
    assert client("EXEC")[0] == counted
    assert client("EVAL_RO", "return redis.call('HLL.COUNT', KEYS[1])", 1, "k") == counted
    client("ACL", "SETUSER", "reader", "on", ">pw", "resetkeys", "%R~k", "-@all", "+hll.count", "+hello")
    other = server.client(2)
    other("AUTH", "reader", "pw")
    assert other("HLL.COUNT", "k") == counted
    for command in (("HLL.COUNT", "another"), ("GET", "k")):
        with pytest.raises(ReplyError, match="NOPERM"):
            other(*command)


# Writes and other strings


@pytest.mark.parametrize("command", WRITES, ids=lambda command: " ".join(command))
def test_a_write_to_a_pf_key_is_refused_and_says_what_to_do(client, command):
    client("PFADD", "pf", *elements(0, 2000))
    client("PFADD", "k", "a")
    text = refused(client, *with_key(command, "k"), match=OURS)
    assert "HLL.MERGE newkey k" in text


def test_import_onto_a_pf_key(client):
    client("PFADD", "k", "a")
    payload = client("GET", "k")
    refused(client, "HLL.IMPORT", "k", "FORMAT", "REDIS", payload, match=OURS)
    assert "HLL.MERGE newkey k" in refused(client, "HLL.IMPORT", "k", "FORMAT", "REDIS", payload, "MERGE", match=OURS)
    refused(client, "HLL.CREATE", "k", match=OURS)
    assert client("HLL.IMPORT", "k", "FORMAT", "REDIS", payload, "REPLACE") == "OK"
    assert client("TYPE", "k") == "HLLsketch"


@pytest.mark.parametrize("value", ["", "x", "12345", "HYL", "HYLL", "HYLL\x00" + "\x00" * 10, "hyll" + "x" * 20, "x" * 44, "x" * 45, "x" * 300, "0" * 20_000])
def test_a_string_that_is_no_pf_key_is_of_the_wrong_type_and_stays_as_it_was(client, value):
    """(The server may take a short one out of its object to show it, which changes nothing that a client of it can tell.)"""
    client("PFADD", "pf", "a")
    client("SET", "k", value)
    encoding = client("OBJECT", "ENCODING", "k")
    for command in READS + WRITES:
        refused(client, *with_key(command, "k"), match=WRONG_TYPE)
    assert client("GET", "k") == value.encode()
    shown = len(value) >= len(HEADER)
    assert client("OBJECT", "ENCODING", "k") == (b"raw" if shown else encoding)


HEADER = b"HYLL\x01" + bytes(11)


@pytest.mark.parametrize("value", [
    HEADER, HEADER + b"\x7f\xfe", HEADER + b"\x7f", HEADER + b"\x7f\xff\x00", HEADER + b"\x7f\xff\x80",
    HEADER + b"\xff" * 5000, HEADER + b"\x7f\xff" * 262_145, b"HYLL\x02" + bytes(11 + 12288), b"HYLL\x00" + bytes(11 + 12287),
    b"HYLL\x00" + bytes(11 + 12289), b"HYLL\x00" + bytes(11) + b"\xff" * 12288,
], ids=["no runs", "one register short", "half a run", "one too many", "a value too many", "values beyond",
        "round 32 bits", "unknown encoding", "short", "long", "rank 63"])
def test_a_damaged_pf_key_is_named_and_refused(client, value):
    client("PFADD", "pf", "a")
    client("SET", "k", value)
    for command in READS + WRITES:
        text = refused(client, *with_key(command, "k"), match=OURS)
        assert "'k'" in text and "damaged" in text
    refused(client, "HLL.MERGE", "new", "k", match=OURS)
    refused(client, "HLL.IMPORT", "new", "FORMAT", "REDIS", value, match=OURS)
    assert client("EXISTS", "new") == 0


def test_mixed_families_are_an_error_that_names_both_and_the_way_out(client):
    client("PFADD", "pf", "a")
    client("HLL.ADD", "ours", "a")
    client("HLL.CREATE", "spark", "HASH", "DATASKETCHES")
    for command, words in [(("HLL.COUNT", "pf", "ours"), ("redis", "xxh3", "HASH REDIS")),
                           (("HLL.FUNNEL", 2, "ours", "pf"), ("redis", "xxh3", "HASH REDIS")),
                           (("HLL.MERGE", "ours", "pf"), ("redis", "xxh3", "HASH REDIS")),
                           (("HLL.COUNT", "spark", "ours"), ("datasketches", "xxh3", "HASH DATASKETCHES")),
                           (("HLL.OVERLAP", 2, "spark", "pf"), ("datasketches", "redis"))]:
        text = refused(client, *command, match=OURS)
        assert all(word in text for word in words), text
    for command, words in [(("HLL.EXPORT", "ours", "FORMAT", "REDIS"), ("redis", "xxh3")),
                           (("HLL.EXPORT", "pf", "FORMAT", "DATASKETCHES"), ("datasketches", "redis"))]:
        text = refused(client, *command, match=OURS)
        assert all(word in text for word in words), text
    client("HLL.CREATE", "coarse", "HASH", "REDIS", "PRECISION", 13)
    assert "PRECISION 14" in refused(client, "HLL.EXPORT", "coarse", "FORMAT", "REDIS", match=OURS)


def test_the_setting_default_hash_is_that_of_new_keys(server):
    c = server.c
    for name in ("redis", "datasketches", "xxh3"):
        server.set("hll.default-hash", name)
        c("HLL.ADD", f"added:{name}", "a")
        c("HLL.CREATE", f"created:{name}")
        assert {info(c, f"{how}:{name}")["hash"] for how in ("added", "created")} == {name}
    server.set("hll.default-hash", "redis")
    c("HLL.CREATE", "chosen", "HASH", "xxh3")
    assert info(c, "chosen")["hash"] == "xxh3"
    server.set("hll.default-hash", "xxh3")
    refused(c, "CONFIG", "SET", "hll.default-hash", "md5", match="^ERR")


@pytest.mark.parametrize("hash", ["redis", "datasketches"])
def test_sketches_of_every_family_persist(server, hash):
    """Sparse and dense, through DUMP, COPY, a native export, and a reload of the database."""
    c = server.c
    for n in (3, 20_000):
        key = f"k{n}"
        c("HLL.CREATE", key, "HASH", hash)
        add(c, key, elements(0, n))
        before = digest(c, key)
        c("RESTORE", f"{key}:2", 0, c("DUMP", key))
        c("COPY", key, f"{key}:3")
        c("HLL.IMPORT", f"{key}:4", "FORMAT", "NATIVE", c("HLL.EXPORT", key))
        c("DEBUG", "RELOAD")
        assert {info(c, k)["hash"] for k in (key, f"{key}:2", f"{key}:3", f"{key}:4")} == {hash}
        assert digest(c, key, f"{key}:2", f"{key}:3", f"{key}:4") == before * 4
        assert c("HLL.ADD", key, *elements(0, n)) == 0


# Statistics


@pytest.mark.thorough
def test_intervals_of_funnels_of_pf_keys_hold_the_truth(one_server, rng):
    """Steps of 30,000, 10,000 and 3,000 elements, a fifth of each new. 60 trials, two intervals of 95 % each. Were their cover
    only 92 %, fewer than 98 of 120 would hold once in 13,000 runs (binomial); errors beyond five of their own standard
    deviations, once in a million."""
    c = one_server.c
    held = 0
    for trial in range(60):
        c("FLUSHDB")
        tag = f"{rng.random()}:"
        fill(c, ["a"], tag, 0, 30_000)
        fill(c, ["b"], tag, 22_000, 32_000)
        fill(c, ["c"], tag, 29_400, 32_400)
        rows = ask(c, "HLL.FUNNEL", 3, "a", "b", "c")
        for row, truth in zip(rows[1:], (8_000, 600)):
            held += holds(row, "users", truth)
            assert abs(row["users"] - truth) < 5 * max(row["upper"] - row["users"], row["users"] - row["lower"])
    print(f"{held} of 120 intervals held")
    assert held >= 98


@pytest.mark.thorough
def test_retention_of_a_shop_from_pf_keys(server, months):  # noqa: F811
    """A PF key per month, filled by PFADD, answers HLL.RETENTION as it is. The elements are fixed, and so is the outcome."""
    c = server.c
    for month, customers in months.items():
        for start in range(0, len(customers), 5000):
            c("PFADD", month, *customers[start:start + 5000])
    names = sorted(months)
    exact = {month: set(months[month]) for month in names}
    (row,) = ask(c, "HLL.RETENTION", "COHORTS", 1, names[0], "PERIODS", len(names), *names)
    assert abs(row["size"] - 948) < 0.03 * 948
    held = [holds(cell, "users", truth) for cell, truth in zip(row["periods"][1:], RETAINED[1:])]
    errors = [cell["users"] / truth - 1 for cell, truth in zip(row["periods"][1:], RETAINED[1:])]
    print("errors in percent:", [round(100 * error, 1) for error in errors])
    assert sum(held) >= 11
    assert math.sqrt(sum(error * error for error in errors) / len(errors)) < 0.06
    table = ask(c, "HLL.RETENTION", "COHORTS", len(names), *names, "PERIODS", len(names), *names)
    cells = [(cell, len(exact[a] & exact[b])) for row, a in zip(table, names) for cell, b in zip(row["periods"], names) if a != b]
    right = sum(holds(cell, "users", truth) for cell, truth in cells)
    print(f"{right} of {len(cells)} intervals held")
    assert right >= 0.9 * len(cells)
    funnel = ask(c, "HLL.FUNNEL", 4, *names[:4], "CONFIDENCE", "0.9999")
    for row, truth in zip(funnel, setcommands.funnel([n.encode() for n in names[:4]], [exact[n] for n in names[:4]])):
        assert holds(row, "users", truth["users"])
