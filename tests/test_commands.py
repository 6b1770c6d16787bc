"""What each command does when it is used as intended, on every server, over RESP2 and RESP3."""

import pytest

from helpers import (ESTIMATE_FIELDS, INFO_FIELDS, KINDS, WRONG_TYPE, add, digest, elements, estimate, fields, info, make,
                     refused, state)
from resp import ReplyError, Simple

# CREATE


def test_create_makes_an_empty_sketch_of_the_default_precision(client):
    assert client("HLL.CREATE", "k") == Simple("OK")
    described = info(client, "k")
    assert described["type"] == "HLLsketch"
    assert (described["precision"], described["registers"]) == (13, 8192)
    assert (described["encoding"], described["estimator"]) == ("sparse", "exact")
    assert (described["hash"], described["history"]) == ("xxh3", "yes")
    assert described["count"] == 0
    assert client("HLL.COUNT", "k") == 0
    assert client("EXISTS", "k") == 1


@pytest.mark.parametrize("precision", range(4, 19))
def test_create_takes_every_precision_from_4_to_18(client, precision):
    assert client("HLL.CREATE", "k", "PRECISION", precision) == "OK"
    described = info(client, "k")
    assert (described["precision"], described["registers"]) == (precision, 1 << precision)


# The smallest p with .7609 / sqrt(2^p) <= e, worked out by hand at and beside the boundaries.
@pytest.mark.parametrize("error, precision", [
    ("0.5", 4), ("0.19023", 4), ("0.1902", 5), ("0.05", 8), ("0.01", 13), ("0.00841", 13), ("0.0084", 14), ("0.006", 14),
    ("0.0059", 15), ("0.0015", 18), ("1e-2", 13),
])
def test_create_from_a_wanted_error_takes_the_smallest_precision_that_keeps_it(client, error, precision):
    assert client("HLL.CREATE", "k", "ERROR", error) == "OK"
    assert info(client, "k")["precision"] == precision


def test_create_takes_its_options_in_any_order_and_case(client):
    assert client("HLL.CREATE", "a", "PRECISION", 10, "HASH", "XXH3") == "OK"
    assert client("HLL.CREATE", "b", "hash", "xxh3", "precision", 10) == "OK"
    assert client("hll.create", "c", "hAsH", "xXh3", "eRRoR", "0.03") == "OK"
    assert [info(client, k)["precision"] for k in "abc"] == [10, 10, 10]
    assert {info(client, k)["hash"] for k in "abc"} == {"xxh3"}


# ADD


def test_add_says_whether_the_sketch_changed(client):
    assert client("HLL.ADD", "k", "a") == 1
    assert client("HLL.ADD", "k", "a") == 0
    assert client("HLL.ADD", "k", "a", "b") == 1
    assert client("HLL.ADD", "k", "b", "a", "b") == 0
    assert client("HLL.COUNT", "k") == 2


def test_add_creates_the_key_with_the_default_precision(client):
    client("HLL.ADD", "k", "a")
    assert client("TYPE", "k") == "HLLsketch"
    assert info(client, "k")["precision"] == 13


def test_add_uses_the_precision_of_the_key(client):
    client("HLL.CREATE", "k", "PRECISION", 9)
    add(client, "k", elements(0, 1000))
    assert info(client, "k")["precision"] == 9


def test_an_empty_element_is_an_element(client):
    assert client("HLL.ADD", "k", "") == 1
    assert client("HLL.ADD", "k", "") == 0
    assert client("HLL.COUNT", "k") == 1
    assert client("HLL.ADD", "k", "x", "", "y") == 1
    assert client("HLL.COUNT", "k") == 3


def test_a_repeated_element_in_one_call_counts_once(client):
    client("HLL.ADD", "k", *["same"] * 100)
    assert client("HLL.COUNT", "k") == 1


def test_keys_and_elements_may_hold_any_bytes(client):
    key = bytes(range(256))
    items = [bytes([b]) for b in range(256)] + [b"\x00" * n for n in range(2, 40)] + [b"\xff\xfe", "é".encode(), b"a\r\nb", b"%s%n"]
    assert client("HLL.ADD", key, *items) == 1
    assert client("HLL.ADD", key, *items) == 0
    assert client("HLL.COUNT", key) == len(items)
    assert client("KEYS", "*") == [key]
    assert info(client, key)["count"] == len(items)


def test_elements_that_differ_in_one_byte_are_different(client):
    long = [b"x" * n + b"\x00" + b"x" * (300 - n) for n in range(301)]
    client("HLL.ADD", "k", *long)
    assert client("HLL.COUNT", "k") == len(long)


def test_elements_are_bytes_not_numbers(client):
    client("HLL.ADD", "k", "1", "01", "1.0", "+1", " 1", "1 ", "1e0")
    assert client("HLL.COUNT", "k") == 7


def test_an_element_of_512_kilobytes(client):
    big = b"e" * (512 * 1024)
    assert client("HLL.ADD", "k", big) == 1
    assert client("HLL.ADD", "k", big) == 0
    assert client("HLL.ADD", "k", big + b"e") == 1
    assert client("HLL.COUNT", "k") == 2


def test_a_hundred_thousand_elements_in_one_call_are_the_same_as_many_calls(client):
    items = elements(0, 100_000)
    assert client("HLL.ADD", "one", *items) == 1
    add(client, "many", items)
    assert state(client, "one") == state(client, "many")
    assert client("HLL.ADD", "one", *items) == 0


# COUNT and ESTIMATE


def test_a_missing_key_counts_as_empty(client):
    assert client("HLL.COUNT", "none") == 0
    assert client("HLL.COUNT", "none", "never") == 0
    client("HLL.ADD", "k", "a")
    assert client("HLL.COUNT", "none", "k", "never") == 1
    described = estimate(client, "none")
    assert (described["estimate"], described["lower"], described["method"]) == (0, 0, "exact")
    assert client("EXISTS", "none", "never") == 0  # asking did not create them


def test_count_of_several_keys_is_their_union(client):
    client("HLL.ADD", "a", *elements(0, 60))
    client("HLL.ADD", "b", *elements(40, 100))
    client("HLL.ADD", "c", *elements(0, 10))
    assert client("HLL.COUNT", "a", "b") == 100
    assert client("HLL.COUNT", "a", "b", "c") == 100
    assert client("HLL.COUNT", "c", "a") == 60
    assert client("HLL.COUNT", "a", "a", "a") == 60


def test_count_is_an_integer_and_estimates_are_doubles(client):
    make(client, "k", "hip", 10)
    assert type(client("HLL.COUNT", "k")) is int
    reply = client("HLL.ESTIMATE", 1, "k")
    if client.protocol == 3:
        assert list(reply) == [name.encode() for name in ESTIMATE_FIELDS] or list(reply) == ESTIMATE_FIELDS
        types = [type(value) for value in reply.values()]
        assert types[:5] == [float] * 5
    else:
        assert [str(name, "ascii") if isinstance(name, bytes) else name for name in reply[::2]] == ESTIMATE_FIELDS
        assert all(isinstance(value, bytes) and float(value) >= 0 for value in reply[1:10:2])


@pytest.mark.parametrize("kind", KINDS)
def test_estimate_says_what_it_is_and_how_sure(client, kind):
    n = make(client, "k", kind, 10)
    e = estimate(client, "k")
    assert e["method"] == {"empty": "exact", "sparse": "exact"}.get(kind, kind)
    assert e["confidence"] == 0.95
    assert 0 <= e["lower"] <= e["estimate"] <= e["upper"]
    assert client("HLL.COUNT", "k") == int(e["estimate"] + 0.5)
    if e["method"] == "exact":
        assert round(e["estimate"]) == n
    else:
        assert e["lower"] < e["estimate"] < e["upper"]
        # At 10 bits one standard deviation is 2.1 % (hip) or 2.4 % (ml) of the estimate.
        assert 0.015 < e["relative_error"] < 0.03


@pytest.mark.parametrize("kind", ["hip", "ml"])
def test_a_higher_confidence_is_a_wider_interval_around_the_same_estimate(client, kind):
    make(client, "k", kind, 10)
    levels = ["0.5", "0.8", "0.95", "0.99", "0.9999"]
    answers = [estimate(client, "k", confidence=level) for level in levels]
    assert [a["confidence"] for a in answers] == [float(level) for level in levels]
    assert len({a["estimate"] for a in answers}) == 1
    assert len({a["relative_error"] for a in answers}) == 1
    widths = [a["upper"] - a["lower"] for a in answers]
    assert widths == sorted(widths) and len(set(widths)) == len(widths)


def test_the_default_confidence_is_95_percent_and_near_two_standard_deviations(client):
    make(client, "k", "ml", 10)
    plain, explicit = estimate(client, "k"), estimate(client, "k", confidence="0.95")
    assert plain == explicit
    half = (plain["upper"] - plain["lower"]) / 2 / plain["estimate"] / plain["relative_error"]
    assert 1.9 < half < 2.05


def test_estimate_of_several_keys_is_that_of_their_merge(client):
    make(client, "a", "hip", 10, "x")
    make(client, "b", "hip", 11, "y")
    make(client, "c", "sparse", 12, "z")
    client("HLL.MERGE", "m", "a", "b", "c")
    assert estimate(client, "a", "b", "c") == estimate(client, "m")
    assert client("HLL.COUNT", "c", "none", "b", "a") == client("HLL.COUNT", "m")


def test_option_words_may_come_in_any_case(client):
    client("HLL.ADD", "k", "a")
    assert client("HLL.ESTIMATE", 1, "k", "confidence", "0.9") == client("HLL.ESTIMATE", 1, "k", "CONFIDENCE", "0.9")
    assert client("hll.export", "k", "format", "native") == client("HLL.EXPORT", "k", "FORMAT", "NATIVE")


def test_a_key_may_be_called_like_an_option(client):
    client("HLL.ADD", "CONFIDENCE", "a")
    assert estimate(client, "CONFIDENCE")["estimate"] == 1
    assert estimate(client, "CONFIDENCE", confidence="0.9")["confidence"] == 0.9
    assert client("HLL.COUNT", "CONFIDENCE", "PRECISION") == 1


# MERGE


def test_merge_is_the_union_and_keeps_what_the_destination_had(client):
    client("HLL.ADD", "dest", *elements(0, 30))
    client("HLL.ADD", "a", *elements(20, 60))
    client("HLL.ADD", "b", *elements(50, 100))
    assert client("HLL.MERGE", "dest", "a", "b") == Simple("OK")
    assert client("HLL.COUNT", "dest") == 100
    assert [client("HLL.COUNT", k) for k in "ab"] == [40, 50]


def test_merge_into_a_missing_key_of_one_source_is_a_copy(client):
    for kind in KINDS:
        make(client, kind, kind, 10)
        client("HLL.MERGE", f"copy-{kind}", kind)
        assert state(client, f"copy-{kind}") == state(client, kind)
        assert client("HLL.EXPORT", f"copy-{kind}") == client("HLL.EXPORT", kind)


def test_merge_reads_missing_sources_as_empty(client):
    client("HLL.MERGE", "made", "none", "never")
    assert client("EXISTS", "made") == 1
    assert client("HLL.COUNT", "made") == 0
    assert info(client, "made")["precision"] == 13
    client("HLL.ADD", "k", "a")
    client("HLL.MERGE", "k", "none")
    client("HLL.MERGE", "copy", "none", "k", "never")
    assert [client("HLL.COUNT", k) for k in ("k", "copy")] == [1, 1]


def test_merge_may_name_the_destination_or_a_source_twice(client):
    client("HLL.ADD", "a", *elements(0, 10))
    client("HLL.ADD", "b", *elements(5, 15))
    before = state(client, "a")
    client("HLL.MERGE", "a", "a")
    assert state(client, "a") == before
    client("HLL.MERGE", "a", "b", "a", "b", "b")
    assert client("HLL.COUNT", "a") == 15


@pytest.mark.parametrize("kind", KINDS)
def test_merge_that_brings_nothing_new_changes_nothing(client, kind):
    make(client, "k", kind, 10)
    client("HLL.CREATE", "subset", "PRECISION", 10)
    if kind != "empty":
        client("HLL.ADD", "subset", *elements(0, 50))
    before = state(client, "k")
    assert client("HLL.MERGE", "k", "subset", "k", "none") == "OK"
    assert state(client, "k") == before


def test_merge_takes_the_smallest_precision_involved(client):
    for precision in (10, 12, 14):
        make(client, f"hip{precision}", "hip", precision)
    client("HLL.MERGE", "m", "hip14", "hip10", "hip12")
    assert info(client, "m")["precision"] == 10
    client("HLL.MERGE", "hip14", "hip12")
    assert info(client, "hip14")["precision"] == 12
    client("HLL.MERGE", "hip10", "hip12")
    assert info(client, "hip10")["precision"] == 10


def test_merge_of_sparse_sketches_takes_the_finest_precision_and_stays_exact(client):
    for precision in (18, 12, 14):
        client("HLL.CREATE", f"k{precision}", "PRECISION", precision)
        client("HLL.ADD", f"k{precision}", *elements(precision * 1000, precision * 1000 + 300))
    client("HLL.MERGE", "m", "k14", "k12", "k18")
    assert info(client, "m")["precision"] == 18
    assert client("HLL.COUNT", "m") == 900
    assert info(client, "m")["estimator"] == "exact"


def test_only_dense_sources_lower_the_precision_of_the_destination(client):
    client("HLL.CREATE", "m", "PRECISION", 14)
    client("HLL.CREATE", "empty", "PRECISION", 4)
    client("HLL.CREATE", "sparse", "PRECISION", 10)
    client("HLL.CREATE", "dense", "PRECISION", 11)
    client("HLL.ADD", "m", *elements(0, 5000))
    client("HLL.ADD", "sparse", *elements(5000, 5100))
    client("HLL.ADD", "dense", *elements(5100, 6100))
    for source, precision in (("empty", 14), ("sparse", 14), ("dense", 11)):
        client("HLL.MERGE", "m", source)
        assert info(client, "m")["precision"] == precision


def test_merge_keeps_the_time_to_live_of_the_destination(client):
    client("HLL.ADD", "a", "1")
    client("HLL.ADD", "b", "2")
    client("EXPIRE", "a", 1000)
    client("HLL.MERGE", "a", "b")
    assert 990 <= client("TTL", "a") <= 1000
    client("HLL.ADD", "a", "3")
    assert 990 <= client("TTL", "a") <= 1000


# INFO


@pytest.mark.parametrize("kind", KINDS)
def test_info_describes_the_sketch(client, kind):
    make(client, "k", kind, 12)
    described = info(client, "k")
    assert described["type"] == "HLLsketch"
    assert (described["precision"], described["registers"]) == (12, 4096)
    assert described["history"] == "yes"
    assert described["count"] == client("HLL.COUNT", "k")
    assert described["compression"] == "zstd" or described["encoding"] == "sparse"
    assert described["memory_bytes"] <= client("MEMORY", "USAGE", "k") + 64
    assert 0 < described["serialized_bytes"] <= 4096
    if described["encoding"] == "dense":
        assert described["memory_bytes"] >= 4096
        assert described["compression_ratio"] > 1.5
        # .0103 (hip) and .0119 (ml) for large sets; less while much of the count is still exact.
        assert 0.005 < described["standard_error"] < 0.013


def test_the_fields_of_info_have_the_type_of_their_meaning(client):
    make(client, "k", "hip", 10)
    reply = client("HLL.INFO", "k")
    values = list(reply.values()) if client.protocol == 3 else reply[1::2]
    by_name = dict(zip(INFO_FIELDS, values))
    for name in ("precision", "registers", "memory_bytes", "serialized_bytes"):
        assert type(by_name[name]) is int, name
    for name in ("standard_error", "compression_ratio"):
        assert type(by_name[name]) is (float if client.protocol == 3 else bytes), name
    for name in ("type", "encoding", "hash", "history", "estimator", "compression"):
        assert isinstance(by_name[name], (bytes, Simple)), name


# EXPORT and IMPORT


@pytest.mark.parametrize("kind", KINDS)
def test_import_of_an_export_is_the_same_sketch(client, kind):
    make(client, "k", kind, 11)
    payload = client("HLL.EXPORT", "k")
    assert client("HLL.EXPORT", "k", "FORMAT", "NATIVE") == payload
    assert client("HLL.IMPORT", "copy", "FORMAT", "NATIVE", payload) == Simple("OK")
    assert state(client, "copy") == state(client, "k")
    assert client("HLL.EXPORT", "copy") == payload


def test_import_replace_takes_the_place_of_what_was_there(client):
    make(client, "k", "hip", 10)
    make(client, "new", "ml", 11, "new")
    payload = client("HLL.EXPORT", "new")
    assert client("HLL.IMPORT", "k", "FORMAT", "NATIVE", payload, "REPLACE") == "OK"
    assert state(client, "k") == state(client, "new")
    assert client("HLL.IMPORT", "fresh", "format", "native", payload, "replace") == "OK"
    assert state(client, "fresh") == state(client, "new")


def test_import_merge_is_the_union(client):
    client("HLL.ADD", "a", *elements(0, 60))
    client("HLL.ADD", "b", *elements(40, 100))
    payload = client("HLL.EXPORT", "b")
    assert client("HLL.IMPORT", "a", "FORMAT", "NATIVE", payload, "MERGE") == "OK"
    assert client("HLL.COUNT", "a") == 100
    assert client("HLL.IMPORT", "fresh", "FORMAT", "NATIVE", payload, "merge") == "OK"
    assert state(client, "fresh") == state(client, "b")


def test_import_merge_and_merge_agree_also_across_precisions(client):
    for left, right in [(12, 10), (10, 12)]:
        client("FLUSHALL")
        make(client, "left", "hip", left, "left")
        make(client, "right", "hip", right, "right")
        client("COPY", "left", "left2")
        client("HLL.MERGE", "left", "right")
        client("HLL.IMPORT", "left2", "FORMAT", "NATIVE", client("HLL.EXPORT", "right"), "MERGE")
        assert info(client, "left")["precision"] == 10
        assert state(client, "left2") == state(client, "left")


def test_export_and_the_reads_change_nothing(client):
    for kind in KINDS:
        make(client, kind, kind, 10)
    before = digest(client)
    exported = [client("HLL.EXPORT", kind) for kind in KINDS]
    for kind in KINDS:
        info(client, kind)
        estimate(client, kind, "none")
        client("HLL.COUNT", kind, "none")
    assert digest(client) == before
    assert [client("HLL.EXPORT", kind) for kind in KINDS] == exported


# Errors of the key


def test_info_and_export_of_a_missing_key_are_errors(client):
    refused(client, "HLL.INFO", "none")
    refused(client, "HLL.EXPORT", "none")
    assert client("EXISTS", "none") == 0


@pytest.mark.parametrize("other", ["string", "list", "set", "zset", "hash", "stream"])
def test_a_key_of_another_type_is_refused_with_the_standard_text(client, other):
    client(*{"string": ("SET", "other", "not a sketch"), "list": ("RPUSH", "other", "x"), "set": ("SADD", "other", "x"),
             "zset": ("ZADD", "other", 1, "x"), "hash": ("HSET", "other", "f", "x"),
             "stream": ("XADD", "other", "*", "f", "x")}[other])
    client("HLL.ADD", "k", "a")
    payload = client("HLL.EXPORT", "k")
    for command in [
        ("HLL.ADD", "other", "a"),
        ("HLL.COUNT", "other"), ("HLL.COUNT", "k", "other"), ("HLL.COUNT", "other", "k"),
        ("HLL.ESTIMATE", 1, "other"), ("HLL.ESTIMATE", 2, "k", "other"),
        ("HLL.MERGE", "other", "k"), ("HLL.MERGE", "k", "other"), ("HLL.MERGE", "new", "k", "other"),
        ("HLL.INFO", "other"),
        ("HLL.EXPORT", "other"),
        ("HLL.IMPORT", "other", "FORMAT", "NATIVE", payload, "MERGE"),
    ]:
        refused(client, *command, match=WRONG_TYPE)
    refused(client, "HLL.CREATE", "other", match=r"^(WRONGTYPE|ERR HLL: )")
    assert client("EXISTS", "new") == 0


def test_create_of_an_existing_key_is_an_error(client):
    client("HLL.ADD", "k", "a")
    refused(client, "HLL.CREATE", "k")
    refused(client, "HLL.CREATE", "k", "PRECISION", 10)


def test_import_onto_an_existing_key_needs_a_word(client):
    make(client, "k", "sparse", 10)
    make(client, "other", "hip", 10, "other")
    before = client("HLL.EXPORT", "k")
    refused(client, "HLL.IMPORT", "k", "FORMAT", "NATIVE", client("HLL.EXPORT", "other"))
    assert client("HLL.EXPORT", "k") == before


def test_other_commands_refuse_a_sketch(client):
    make(client, "k", "hip", 10)
    for command in [("GET", "k"), ("PFADD", "k", "a"), ("PFCOUNT", "k"), ("LPUSH", "k", "a"), ("SADD", "k", "a")]:
        refused(client, *command, match="^WRONGTYPE")


# Where commands are run


def test_an_expired_key_is_a_missing_key(client):
    client("HLL.ADD", "k", "a")
    client("PEXPIREAT", "k", 1)
    assert client("HLL.COUNT", "k") == 0
    assert client("HLL.ADD", "k", "b") == 1
    assert client("TTL", "k") == -1


def test_databases_are_apart(client):
    client("HLL.ADD", "k", "a")
    client("SELECT", 3)
    assert client("HLL.COUNT", "k") == 0
    client("HLL.ADD", "k", "x", "y")
    client("SELECT", 0)
    assert client("HLL.COUNT", "k") == 1
    assert client("MOVE", "k", 5) == 1
    client("SELECT", 5)
    assert client("HLL.COUNT", "k") == 1


def test_commands_work_inside_a_transaction(client):
    client("MULTI")
    for command in [("HLL.CREATE", "k", "PRECISION", 10), ("HLL.ADD", "k", "a", "b"), ("HLL.ADD", "k", "b"), ("HLL.COUNT", "k"),
                    ("HLL.CREATE", "k"), ("HLL.MERGE", "m", "k"), ("HLL.ESTIMATE", 1, "m")]:
        assert client(*command) == "QUEUED"
    replies = client("EXEC")
    assert replies[:4] == ["OK", 1, 0, 2]
    assert isinstance(replies[4], ReplyError) and replies[4].text.startswith("ERR HLL: ")
    assert replies[5] == "OK"
    assert fields(client, replies[6], ESTIMATE_FIELDS)["estimate"] == 2


def test_commands_work_inside_a_script(client):
    script = """
        redis.call('HLL.ADD', KEYS[1], unpack(ARGV))
        redis.call('HLL.MERGE', KEYS[2], KEYS[1])
        local failed = redis.pcall('HLL.CREATE', KEYS[1])
        return {redis.call('HLL.COUNT', KEYS[2]), failed.err}
    """
    count, error = client("EVAL", script, 2, "k", "m", "a", "b", "c")
    assert count == 3
    assert error.decode().startswith("ERR HLL: ")


def test_a_script_that_may_not_write_can_still_count(client):
    client("HLL.ADD", "k", "a", "b")
    assert client("EVAL_RO", "return redis.call('HLL.COUNT', KEYS[1])", 1, "k") == 2
    refused(client, "EVAL_RO", "return redis.call('HLL.ADD', KEYS[1], 'c')", 1, "k", match="read-only")


def test_maps_reach_scripts_as_maps(client):
    client("HLL.ADD", "k", "a", "b")
    script = """
        redis.setresp(3)
        local reply = redis.call('HLL.ESTIMATE', 1, KEYS[1])['map']
        return {reply['method'], tostring(reply['estimate']['double'])}
    """
    method, value = client("EVAL", script, 1, "k")
    assert method == b"exact" and float(value) == 2
