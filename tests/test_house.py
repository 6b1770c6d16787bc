"""What the server's floor promises about values, settings, timers and waiting clients in general, shown by what no ordinary command
does on purpose: the commands, settings and the type of the checked build (HLL.TEST.*)."""

import os
import struct
import subprocess
import time

import pytest

from helpers import add, digest, elements, refused
from resp import ReplyError
from servers import wait_for

MIB = 1 << 20
PIECE = 64 * 1024


def strings(c, key, size, count):
    assert c("HLL.TEST.PUSH", key, size, count) == "OK"


# Pieces


@pytest.fixture
def streamed(checked):
    """Values whose bytes end just before, at and behind the end of a piece, and one of many pieces. Each string has a length of four
    bytes in front, and so has the list."""
    for key, size in [("short", PIECE - 9), ("exact", PIECE - 8), ("longer", PIECE - 7), ("empty string", 0)]:
        strings(checked.c, key, size, 1)
    strings(checked.c, "many", 1000, 5000)
    return checked


def lengths(c):
    return {key: c("HLL.TEST.LENGTH", key) for key in ("short", "exact", "longer", "empty string", "many")}


def test_a_value_of_any_size_is_saved_and_loaded(streamed):
    c = streamed.c
    before, counted = digest(c), lengths(c)
    assert counted["many"] == 5000
    c("DEBUG", "RELOAD")
    assert (digest(c), lengths(c)) == (before, counted)


def test_a_value_of_any_size_is_dumped_restored_and_copied(streamed):
    c = streamed.c
    for key in lengths(c):
        value = c("DEBUG", "DIGEST-VALUE", key)
        payload = c("DUMP", key)
        c("RESTORE", "back", 0, payload, "REPLACE")
        c("COPY", key, "copy", "REPLACE")
        assert c("DEBUG", "DIGEST-VALUE", "back") == c("DEBUG", "DIGEST-VALUE", "copy") == value


def test_a_payload_that_ends_early_is_refused(streamed):
    """The checksum is right (the server is told not to look), and a piece is missing."""
    c = streamed.c
    payload = c("DUMP", "many")
    for end in (100, PIECE, 2 * PIECE, len(payload) - 20):
        with pytest.raises(ReplyError):
            c("RESTORE", "cut", 0, payload[:end] + payload[-10:])
    assert c("EXISTS", "cut") == 0


def rebuild(key, offset, piece, kind="HLLstrngs"):
    return ("HLL.REBUILD", key, kind, offset, piece)


def test_a_rewritten_append_only_file_holds_pieces_and_gives_the_value_back(start, newest):
    server = start(newest, {"appendonly": "yes", "aof-use-rdb-preamble": "no"}, build="checked")
    c = server.c
    strings(c, "many", 1000, 500)
    strings(c, "exact", PIECE - 8, 1)
    c("HLL.CREATE", "large", "PRECISION", 18)
    add(c, "large", elements(0, 400_000), batch=10_000)
    c("EXPIRE", "many", 1000)
    before = digest(c)
    c("BGREWRITEAOF")
    wait_for("the rewrite", lambda: server.info(section="persistence")["aof_rewrite_in_progress"] == "0" and server.info(section="persistence")["aof_rewrite_scheduled"] == "0")
    directory = os.path.join(server.directory, "appendonlydir")
    (base,) = [name for name in os.listdir(directory) if ".base." in name]
    with open(os.path.join(directory, base), "rb") as f:
        assert f.read().count(b"HLL.REBUILD") >= 8 + 2 + 2
    server.restart()
    assert digest(server.c) == before
    assert 900 < server.c("TTL", "many") <= 1000


def bulk(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def test_a_file_with_a_piece_missing_fails_to_load(start, newest):
    """To go on would be to lose the key without a word."""
    server = start(newest, {"appendonly": "yes", "aof-use-rdb-preamble": "no"}, build="checked")
    server.c("BGREWRITEAOF")
    wait_for("the rewrite", lambda: server.info(section="persistence")["aof_rewrite_in_progress"] == "0" and server.info(section="persistence")["aof_rewrite_scheduled"] == "0")
    directory = os.path.join(server.directory, "appendonlydir")
    (base,) = [name for name in os.listdir(directory) if ".base." in name]
    full, short = bytes(PIECE), bytes(10)
    for damaged in ([rebuild("k", 0, full)], [rebuild("k", 0, full), rebuild("other", 0, short)], [rebuild("k", PIECE, short)],
                    [rebuild("k", 0, full), rebuild("k", PIECE + 1, short)], [rebuild("k", 0, short)]):
        server.stop()
        with open(os.path.join(directory, base), "wb") as f:
            f.write(bulk("SELECT", 0) + b"".join(bulk(*command) for command in damaged))
        with open(server.log_path, "ab") as log:
            server.process = subprocess.Popen(server.command_line(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=server.directory)
        assert server.process.wait(20) == 1
        assert "a value cannot be rebuilt" in server.log()
        os.truncate(server.log_path, 0)


def test_pieces_from_a_client_are_proven(checked):
    c = checked.c
    c("SET", "s", "x")
    full = struct.pack("<II", 1, PIECE) + bytes(PIECE - 8)
    rest = bytes(8)
    assert c(*rebuild("k", 0, full)) == "OK"
    assert c("EXISTS", "k") == 0  # nothing is there before the last piece
    assert c(*rebuild("k", PIECE, rest)) == "OK"
    assert c("HLL.TEST.LENGTH", "k") == 1
    for wrong in ([rebuild("k", 1, rest)], [rebuild("k", 0, full), rebuild("k", PIECE - 1, rest)], [rebuild("k", 0, full), rebuild("j", PIECE, rest)],
                  [rebuild("k", 0, full), rebuild("k", PIECE, rest, "HLLsketch")], [rebuild("k", 0, bytes(PIECE + 1))], [rebuild("k", 0, b"")],
                  [rebuild("k", 0, b"\xff" * 8)], [rebuild("k", -1, rest)], [rebuild("k", 0, rest, "nothing")], [rebuild("k", 0, b"\x00" * 5)]):
        *first, last = wrong
        for command in first:
            assert c(*command) == "OK"
        refused(c, *last)
    refused(c, *rebuild("s", 0, struct.pack("<I", 0)), match="^WRONGTYPE")
    assert c("HLL.TEST.LENGTH", "k") == 1


def test_values_are_rebuilt_side_by_side(checked):
    """As the slots of two nodes arrive, or clients send."""
    c = checked.c
    full = struct.pack("<II", 1, PIECE) + bytes(PIECE - 8)
    for key in "ab":
        assert c(*rebuild(key, 0, full)) == "OK"
    for key in "ba":
        assert c(*rebuild(key, PIECE, bytes(8))) == "OK"
    assert [c("HLL.TEST.LENGTH", key) for key in "ab"] == [1, 1]


def test_what_clients_rebuild_is_bounded(checked, server):
    """In all, and for a sketch to what a sketch can be; and the limit of a key's memory holds."""
    c = checked.c
    full = bytes(PIECE)
    replies = c.pipe(rebuild(f"k{i}", 0, full) for i in range((1 << 10) + 1))  # one more than 64 MiB
    (error,) = [reply for reply in replies if reply != "OK"]
    assert error.text.startswith("ERR HLL: unfinished values hold more than 64 MiB")
    for offset in range(0, 4 * PIECE, PIECE):
        assert c(*rebuild("k", offset, full, "HLLsketch")) == "OK"
    refused(c, *rebuild("k", 4 * PIECE, full, "HLLsketch"), match="^ERR HLL: a piece has at most 65536 bytes and a value of this type at most 262400, send the pieces as a file has them$")
    c = server.c
    c("HLL.CREATE", "large", "PRECISION", 18)
    payload = c("HLL.EXPORT", "large")
    server.set("hll.max-memory-per-key", "2000")
    refused(c, *rebuild("new", 0, payload, "HLLsketch"), match="^ERR HLL: precision 18 can take")
    assert c("EXISTS", "new") == 0


def test_a_rebuilt_key_keeps_its_time_to_live_and_reaches_replicas(start, newest):
    primary = start(newest, build="checked")
    replica = start(newest, {"replicaof": f"127.0.0.1 {primary.port}"}, build="checked")
    c = primary.c
    add(c, "from", elements(0, 5000))
    c("EXPIRE", "from", 1000)
    wait_for("the link", lambda: replica.info(section="replication")["master_link_status"] == "up")
    other = c("HLL.EXPORT", "from")
    add(c, "from", elements(5000, 6000))
    assert c(*rebuild("from", 0, other, "HLLsketch")) == "OK"
    assert c("HLL.EXPORT", "from") == other
    assert 900 < c("TTL", "from") <= 1000
    assert c("WAIT", 1, 5000) == 1
    assert replica.c("HLL.EXPORT", "from") == other
    assert 900 < replica.c("TTL", "from") <= 1000
    for offset, piece in ((0, struct.pack("<II", 1, PIECE) + bytes(PIECE - 8)), (PIECE, bytes(8))):
        assert c(*rebuild("large", offset, piece)) == "OK"
    assert c("WAIT", 1, 5000) == 1
    assert replica.c("HLL.TEST.LENGTH", "large") == 1


# Memory


def test_memory_is_told_by_a_running_sum_and_given_back(checked):
    c = checked.c
    strings(c, "many", 1000, 20_000)
    told = c("MEMORY", "USAGE", "many")
    assert 20_000 * 1000 < told < 20_000 * 1100
    strings(c, "many", 1000, 1)
    assert 1000 <= c("MEMORY", "USAGE", "many") - told <= MIB


def sketches(server):
    info = server.info(section="hll")
    return int(info["hll_sketch_keys"]), int(info["hll_sketch_bytes"])


def test_keys_and_bytes_of_a_type_are_counted(server):
    """Through every way in and out of the keyspace."""
    c = server.c
    wait_for("a clean start", lambda: sketches(server) == (0, 0))

    def expected():
        keys = [key for key in c("KEYS", "*") if c("TYPE", key) == "HLLsketch"]
        told = 0
        for key in keys:
            fields = c("HLL.INFO", key)
            fields = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2]))
            told += fields[b"memory_bytes"]
        return len(keys), told

    def same(what):
        wait_for(f"the account after {what}", lambda: sketches(server) == expected())

    add(c, "a", elements(0, 10))
    same("ADD")
    add(c, "a", elements(10, 30_000))
    same("more of it")
    c("HLL.CREATE", "b", "PRECISION", 18)
    c("HLL.MERGE", "c", "a", "b")
    same("MERGE")
    c("COPY", "a", "d")
    c("RESTORE", "e", 0, c("DUMP", "a"))
    same("COPY and RESTORE")
    c("HLL.ADD", "d", *elements(0, 300, "other"))
    same("a change of a copy")
    c("SET", "b", "no sketch any more")
    c("RENAME", "c", "d")
    c("DEL", "e")
    same("DEL and RENAME")
    c("DEBUG", "RELOAD")
    same("RELOAD")
    c("FLUSHALL", "ASYNC")
    same("FLUSHALL")


# Defragmentation


def test_a_large_value_is_defragmented_in_several_visits(start, request):
    """On the first server that can: memory is made to have holes, by deleting every other one of many lists."""
    for name in request.config.hll_servers:
        server = start(name, {"save": "", "active-defrag-ignore-bytes": "1", "active-defrag-threshold-lower": "1",
                              "active-defrag-cycle-min": "1", "active-defrag-cycle-max": "5", "active-defrag-max-scan-fields": "1000"}, build="checked")
        c = server.c
        try:
            c("CONFIG", "SET", "activedefrag", "no")
            c("CONFIG", "SET", "activedefrag", "yes")
            c("CONFIG", "SET", "activedefrag", "no")
        except ReplyError:
            continue
        break
    else:
        pytest.skip("none of these servers can defragment")
    for round_ in range(200):
        strings(c, "kept", 200, 1000)
        strings(c, f"gone{round_}", 200, 1000)
    before = digest_of(c, "kept")
    c("UNLINK", *[f"gone{round_}" for round_ in range(200)])
    c("CONFIG", "SET", "activedefrag", "yes")
    wait_for("a visit that goes on where the last one stopped", lambda: int(server.info(section="hll")["hll_test_defrag_resumed"]) > 0, seconds=60)
    wait_for("the end", lambda: int(server.info(section="memory")["active_defrag_running"]) == 0 or int(server.info(section="stats")["active_defrag_key_hits"]) > 1, seconds=60)
    assert digest_of(c, "kept") == before
    assert c("HLL.TEST.LENGTH", "kept") == 200_000


def digest_of(c, key):
    return c("DEBUG", "DIGEST-VALUE", key)


# Waiting clients and timers


def test_a_timer_answers_a_client_that_waits_for_a_key_named_by_its_bytes(checked, protocol):
    c = checked.client(protocol)
    key = b"a key \x00 of \xff any bytes"
    strings(c, key, 1, 3)
    assert c("HLL.TEST.LATER", key, 30, 5000) == 3
    assert c("HLL.TEST.LATER", "none", 0, 5000) == 0
    c("SET", "s", "x")
    refused(c, "HLL.TEST.LATER", "s", 0, 5000, match="^WRONGTYPE")


def test_a_client_waits_no_longer_than_it_was_to(checked):
    c = checked.c
    strings(c, "k", 1, 3)
    assert refused(c, "HLL.TEST.LATER", "k", 300, 20) == "ERR HLL: the timer did not come in time, wait longer"
    assert c("PING") == "PONG"
    time.sleep(0.4)  # the timer comes for a client that does not wait any more
    assert c("HLL.TEST.LATER", "k", 0, 1000) == 3


def departures(server):
    return int(server.info(section="hll")["hll_test_departures"])


def test_clients_that_leave_while_a_timer_runs_leave_nothing_behind(checked):
    strings(checked.c, "k", 1, 3)
    before = departures(checked)
    for _ in range(50):
        with checked.client() as leaving:
            leaving.send("HLL.TEST.LATER", "k", 100, 5000)
    wait_for("every departure to be noticed", lambda: departures(checked) == before + 50)
    assert checked.info(section="clients")["blocked_clients"] == "0"
    time.sleep(0.2)
    assert checked.c("HLL.TEST.LATER", "k", 0, 1000) == 3


# Settings


def test_fractions_and_texts_are_settings_and_their_changes_are_heard_of(checked):
    c = checked.c

    def changes():
        return int(checked.info(section="hll")["hll_test_setting_changes"])

    before = changes()
    assert c("CONFIG", "SET", "hll.test-fraction", "0.25") == "OK"
    assert c("CONFIG", "SET", "hll.test-text", "two words, \u00e9") == "OK"
    assert changes() == before + 2
    told = c("CONFIG", "GET", "hll.test-*")
    told = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2]))
    assert (told[b"hll.test-fraction"], told[b"hll.test-text"]) == (b"0.25", "two words, \u00e9".encode())
    for wrong in ("1.01", "-0.1", "nan", "", "x", "0,5"):
        text = refused(c, "CONFIG", "SET", "hll.test-fraction", wrong, match="^ERR CONFIG SET failed")
        assert "test-fraction must be 0 to 1" in text
    assert changes() == before + 2
    c("CONFIG", "SET", "hll.test-fraction", "0.05")
    c("CONFIG", "SET", "hll.test-text", "")


def test_fractions_and_texts_come_from_the_command_line_and_the_file(start, newest):
    server = start(newest, build="checked", module_args=["test-fraction", "0.5", "test-text", "given"])
    assert server.c("CONFIG", "GET", "hll.test-fraction")[1] == b"0.5"
    assert server.c("CONFIG", "GET", "hll.test-text")[1] == b"given"


# Saves that meet a bug


def test_a_save_of_the_servers_own_that_fails_keeps_the_last_good_file(start, server_name):
    server = start(server_name, build="checked")
    server.expects_panic = True
    c = server.c
    strings(c, "good", 10, 10)
    assert c("SAVE") == "OK"
    path = os.path.join(server.directory, "dump.rdb")
    with open(path, "rb") as f:
        good = f.read()
    strings(c, "more", 10, 10)
    c("HLL.TEST.FAILSAVES", "ON")
    for command in ("SAVE", "BGSAVE", "SAVE"):
        if command == "BGSAVE":
            c("BGSAVE")
            wait_for("the child to end", lambda: server.info(section="persistence")["rdb_bgsave_in_progress"] == "0")
            assert server.info(section="persistence")["rdb_last_bgsave_status"] == "err"
        else:
            refused(c, "SAVE", match="^ERR")
        with open(path, "rb") as f:
            assert f.read() == good
        assert [name for name in os.listdir(server.directory) if name.startswith("temp")] == []
    refused(c, "SHUTDOWN", "SAVE", match="^ERR Errors trying to SHUTDOWN")
    assert c("PING") == "PONG"
    c("HLL.TEST.FAILSAVES", "OFF")
    assert c("SAVE") == "OK"  # files can be written again
    before = digest(c)
    c("DEBUG", "RELOAD")
    assert digest(c) == before
    assert c("HLL.TEST.LENGTH", "more") == 10


def test_the_dump_of_a_value_that_fails_is_refused_by_restore_and_files_are_let_alone(checked):
    checked.expects_panic = True
    c = checked.c
    strings(c, "k", 10, 10)
    c("HLL.TEST.FAILSAVES", "ON")
    payload = c("DUMP", "k")
    c("HLL.TEST.FAILSAVES", "OFF")
    refused(c, "RESTORE", "back", 0, payload, match="^ERR Bad data format")
    assert c("SAVE") == "OK"
    checked.expects_panic = False
    checked.mark_log()


# The section of INFO


@pytest.mark.shipped
def test_info_has_a_section_of_ours(server):
    info = server.info(section="hll")
    assert info["hll_version"].count(".") == 2
    for name in ("sketch_keys", "sketch_bytes", *[f"long_answers_{what}" for what in ("running", "waiting", "done", "refused", "dropped", "timed_out")]):
        assert int(info[f"hll_{name}"]) >= 0
    assert not [name for name in info if name.startswith("hll_test")]
