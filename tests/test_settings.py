"""The settings: how they are given, what they accept, and what they do."""

import pytest

from helpers import COMPRESSIONS, KINDS, OURS, add, digest, elements, info, make, refused, state
from servers import DidNotStart, Server

DEFAULTS = {"hll.default-precision": b"13", "hll.default-hash": b"xxh3", "hll.hash-seed": b"0", "hll.rdb-compression": b"zstd", "hll.max-memory-per-key": b"0"}


def get(c, name):
    (_, value) = c("CONFIG", "GET", name)
    return value


def test_the_defaults(server):
    listed = server.c("CONFIG", "GET", "hll.*")
    listed = dict(zip(listed[::2], listed[1::2]))
    assert {name: listed.get(name.encode()) for name in DEFAULTS} == DEFAULTS


def test_settings_on_the_command_line_and_as_module_arguments(start, server_name):
    wanted = {"hll.default-precision": b"9", "hll.hash-seed": b"18446744073709551615", "hll.rdb-compression": b"lz4", "hll.max-memory-per-key": b"100000"}
    as_options = start(server_name, {name: value.decode() for name, value in wanted.items() if name != "hll.hash-seed"} | {"hll.hash-seed": "1234"})
    as_arguments = start(server_name, module_args=["default-precision", 9, "rdb-compression", "lz4", "max-memory-per-key", 100000, "hash-seed", 1234])
    for server in (as_options, as_arguments):
        assert {name: get(server.c, name) for name in wanted} == {**wanted, "hll.hash-seed": b"1234"}
        server.c("HLL.ADD", "k", "a")
        assert info(server.c, "k")["precision"] == 9
    assert as_options.c("HLL.EXPORT", "k") == as_arguments.c("HLL.EXPORT", "k")


def test_settings_in_a_configuration_file_and_config_rewrite(start, server_name, tmp_path, request):
    path = tmp_path / "redis.conf"
    path.write_text(f"loadmodule {request.config.option.module} hash-seed 42\nhll.default-precision 11\n")

    class WithFile(Server):
        def command_line(self):
            binary, *rest = super().command_line()
            return [binary, str(path), *rest]

    server = start(server_name, module=False)
    server.stop()
    server.__class__ = WithFile
    server.start()
    c = server.c
    assert (get(c, "hll.default-precision"), get(c, "hll.hash-seed")) == (b"11", b"42")
    c("CONFIG", "SET", "hll.rdb-compression", "gzip", "hll.default-precision", "12")
    assert c("CONFIG", "REWRITE") == "OK"
    text = path.read_text()
    assert "hll.rdb-compression gzip" in text and "hll.default-precision 12" in text
    server.restart()
    c = server.c
    assert get(c, "hll.default-precision") == b"12"
    assert get(c, "hll.rdb-compression") == b"gzip"
    assert get(c, "hll.hash-seed") == b"42"


@pytest.mark.parametrize("name, value", [
    ("hll.default-precision", "3"), ("hll.default-precision", "19"), ("hll.default-precision", "-1"), ("hll.default-precision", "x"),
    ("hll.default-precision", ""), ("hll.default-precision", "13.0"), ("hll.default-precision", "99999999999999999999"),
    ("hll.default-hash", "md5"), ("hll.default-hash", ""), ("hll.default-hash", "xxh"),
    ("hll.rdb-compression", "brotli"), ("hll.rdb-compression", ""), ("hll.rdb-compression", "zst"),
    ("hll.max-memory-per-key", "-1"), ("hll.max-memory-per-key", "x"),
])
def test_values_outside_their_range_are_refused(server, name, value):
    before = get(server.c, name)
    refused(server.c, "CONFIG", "SET", name, value, match="^ERR")
    assert get(server.c, name) == before


@pytest.mark.parametrize("option, value", [("hll.default-precision", "3"), ("hll.rdb-compression", "brotli"), ("hll.hash-seed", "many"),
                                           ("hll.no-such-setting", "1")])
def test_a_wrong_value_at_the_start_stops_the_start(start, newest, option, value):
    with pytest.raises(DidNotStart):
        start(newest, {option: value})


def test_the_default_precision_is_that_of_new_keys_only(server):
    c = server.c
    c("HLL.ADD", "old", "a")
    for precision in (4, 10, 18):
        server.set("hll.default-precision", precision)
        c("HLL.ADD", f"added{precision}", "a")
        c("HLL.CREATE", f"created{precision}")
        c("HLL.MERGE", f"merged{precision}", "none")
        assert {info(c, f"{how}{precision}")["precision"] for how in ("added", "created", "merged")} == {precision}
        c("HLL.CREATE", f"explicit{precision}", "PRECISION", 7)
        assert info(c, f"explicit{precision}")["precision"] == 7
        c("HLL.MERGE", f"copy{precision}", "old")
        assert info(c, f"copy{precision}")["precision"] == 13  # the source's, not the default
    assert info(c, "old")["precision"] == 13


# The hash seed


def test_the_hash_seed_cannot_change_while_the_server_runs(server):
    for value in ("1", "0"):
        refused(server.c, "CONFIG", "SET", "hll.hash-seed", value, match="^ERR .*immutable")
    assert get(server.c, "hll.hash-seed") == b"0"


def test_a_seed_makes_other_sketches_of_the_same_elements(start, newest):
    exported, counts = [], []
    for seed in (0, 1, 2**63 - 1):
        server = start(newest, module_args=["hash-seed", seed])
        add(server.c, "k", elements(0, 10_000))
        exported.append(server.c("HLL.EXPORT", "k"))
        counts.append(server.c("HLL.COUNT", "k"))
        assert all(abs(n - 10_000) < 5 * 0.0073 * 10_000 for n in counts)  # fixed elements and seeds: no chance involved
    assert len(set(exported)) == 3
    assert len(set(counts)) == 3


def test_sketches_of_different_seeds_do_not_mix(start, server_name):
    one, two = start(server_name, module_args=["hash-seed", 1]), start(server_name, module_args=["hash-seed", 2])
    for kind in KINDS:
        make(one.c, kind, kind, 10)
        two.c("HLL.IMPORT", f"one:{kind}", "FORMAT", "NATIVE", one.c("HLL.EXPORT", kind))
        make(two.c, f"two:{kind}", kind, 10)
        # A sketch goes on with the seed it was made with, wherever it is.
        assert state(two.c, f"one:{kind}") == state(one.c, kind)
        if kind != "empty":
            assert two.c("HLL.ADD", f"one:{kind}", "user:0", "user:1") == 0
    c = two.c
    for a in ("sparse", "hip", "ml"):
        for b in ("sparse", "hip", "ml"):
            refused(c, "HLL.MERGE", f"one:{a}", f"two:{b}")
            refused(c, "HLL.MERGE", "new", f"one:{a}", f"two:{b}")
            refused(c, "HLL.COUNT", f"one:{a}", f"two:{b}")
            refused(c, "HLL.ESTIMATE", 2, f"two:{b}", f"one:{a}")
            refused(c, "HLL.IMPORT", f"one:{a}", "FORMAT", "NATIVE", c("HLL.EXPORT", f"two:{b}"), "MERGE")
    assert c("EXISTS", "new") == 0
    assert c("HLL.MERGE", "one:sparse", "one:hip", "one:ml") == "OK"


# Compression


def test_compression_changes_the_bytes_and_nothing_else(server):
    c = server.c
    make(c, "k", "hip", 14)
    make(c, "sparse", "sparse", 14)
    before, sizes = (state(c, "k"), state(c, "sparse")), {}
    for compression in COMPRESSIONS:
        server.set("hll.rdb-compression", compression)
        described = info(c, "k")
        sizes[compression] = len(c("HLL.EXPORT", "k"))
        assert described["compression"] == compression
        assert described["serialized_bytes"] == sizes[compression]
        assert described["compression_ratio"] == pytest.approx(16384 / sizes[compression], rel=0.02)
        assert len(c("DUMP", "k")) <= sizes[compression] + 64
        assert (state(c, "k"), state(c, "sparse")) == before
    assert sizes["none"] >= 16384
    assert sizes["zstd"] < 0.6 * sizes["none"] and sizes["gzip"] < 0.65 * sizes["none"]
    assert sizes["lz4"] < 0.9 * sizes["none"]


# The limit per key


def test_a_limit_per_key_bounds_what_can_be_made(server):
    c = server.c
    make(c, "p14", "hip", 14)
    make(c, "p12", "hip", 12)
    payloads = {p: c("HLL.EXPORT", f"p{p}") for p in (12, 14)}
    c("HLL.CREATE", "s", "PRECISION", 14)
    c("HLL.ADD", "s", "a")
    sparse14 = c("HLL.EXPORT", "s")
    c("DEL", "s")
    server.set("hll.max-memory-per-key", "7000")  # room for 2^12 registers, not for 2^13
    # Even an empty or sparse sketch may grow to its full size, so it is refused at once.
    for command in [("HLL.CREATE", "new", "PRECISION", "13"), ("HLL.CREATE", "new"), ("HLL.ADD", "new", "a"), ("HLL.CREATE", "new", "ERROR", "0.005"),
                    ("HLL.MERGE", "new", "p14"), ("HLL.MERGE", "new", "none"), ("HLL.IMPORT", "new", "FORMAT", "NATIVE", payloads[14]),
                    ("HLL.IMPORT", "p12", "FORMAT", "NATIVE", payloads[14], "REPLACE"), ("HLL.IMPORT", "new", "FORMAT", "NATIVE", sparse14),
                    ("HLL.IMPORT", "new", "FORMAT", "NATIVE", payloads[14], "MERGE")]:
        refused(c, *command)
        assert c("EXISTS", "new") == 0
    assert c("HLL.CREATE", "c12", "PRECISION", "12") == "OK"
    assert c("HLL.MERGE", "m", "p14", "p12") == "OK"  # the result has the smaller precision
    assert info(c, "m")["precision"] == 12
    assert c("HLL.IMPORT", "i", "FORMAT", "NATIVE", payloads[12]) == "OK"
    # What was there stays usable.
    assert c("HLL.COUNT", "p14") > 0
    c("HLL.ADD", "p14", "a", "b", "c")
    server.set("hll.max-memory-per-key", "0")
    assert c("HLL.CREATE", "big", "PRECISION", "18") == "OK"


def test_a_limit_per_key_never_loses_stored_data(start, server_name):
    server = start(server_name)
    for kind in KINDS:
        make(server.c, kind, kind, 14)
    before = digest(server.c), [state(server.c, kind) for kind in KINDS]
    server.c("SAVE")
    server.kill()
    server.options["hll.max-memory-per-key"] = "100"
    server.start()
    assert (digest(server.c), [state(server.c, kind) for kind in KINDS]) == before
    refused(server.c, "HLL.CREATE", "new", match=OURS)
