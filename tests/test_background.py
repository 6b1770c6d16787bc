"""Long answers are worked out beside the server: the same answers, other clients are served meanwhile, and nothing that happens
to the client, its keys or the server in between does harm.

No test here looks at the clock. What has to happen during the work is done, and then it is made sure that the work was indeed
still going on; if it was not, the same is tried again with more work.
"""

import os
import re
import select

import pytest

from helpers import elements, estimate, refused
from resp import ReplyError
from servers import wait_for
from setcommands import SHAPES, ask, foreign_payload, put, read

# The module has one worker less than there are processors, at least 1 and at most 4; so many long answers keep all busy.
WORKERS = min(max(len(os.sched_getaffinity(0)) - 1, 1), 4)

MOST_WAITING = 256

# A retention table of n by n cells of a third of a million registers each: a tenth of a second and up.
SIZES = [8, 16, 32, 64]


def prepare(c):
    for name, numbers in (("a", range(0, 80_000)), ("b", range(60_000, 140_000))):
        put(c, f"{name}0", [numbers], 18)
        for i in range(1, 16):
            c("COPY", f"{name}0", f"{name}{i}")


def long_call(size):
    return ("HLL.RETENTION", "COHORTS", size, *[f"a{i % 16}" for i in range(size)], "PERIODS", size, *[f"b{i % 16}" for i in range(size)])


def check_long_answer(c, reply, size, cell):
    """All its cells are the one cell there is, since the keys are copies of two."""
    if isinstance(reply, ReplyError):
        raise reply
    rows = read(c, reply, SHAPES["HLL.RETENTION"])
    assert [row["cohort"] for row in rows] == [b"a%d" % (i % 16) for i in range(size)]
    for row in rows:
        assert row["periods"] == [{**cell, "period": b"b%d" % (i % 16)} for i in range(size)]


def the_cell(c):
    return ask(c, "HLL.RETENTION", "COHORTS", 1, "a0", "PERIODS", 1, "b0")[0]["periods"][0]


def blocked(server):
    return int(server.info(section="clients")["blocked_clients"])


def used(server):
    return int(server.info(section="memory")["used_memory"])


def has_reply(c):
    return bool(select.select([c.sock], [], [], 0)[0])


def while_working(server, action, restore=lambda: None, check=True):
    """What action(long clients, size) returns when it was done while every worker was busy. `restore` undoes an action that
    came too late. The long answers must then be right, if `check`."""
    prepare(server.c)
    cell = the_cell(server.c)
    for size in SIZES:
        long = [server.client() for _ in range(WORKERS)]
        for c in long:
            c.send(*long_call(size))
        wait_for("the work to begin", lambda: blocked(server) == WORKERS or any(map(has_reply, long)))
        outcome = action(long, size)
        in_time = not any(map(has_reply, long))
        if check:
            for c in long:
                check_long_answer(c, c.read(), size, cell)
        if in_time:
            return outcome
        restore()
    pytest.fail(f"{SIZES[-1] ** 2} cells were computed before a few commands were sent: there is nothing to see here")


# Same answers


@pytest.fixture
def eight(client):
    """Eight dense sets of two precisions, each a part of the one before and some more."""
    for i in range(8):
        put(client, f"s{i}", [range(0, 12000 - 1000 * i), range(20000 * (i + 1), 20000 * (i + 1) + 3000)], 11 if i % 3 else 12)
    return [f"s{i}" for i in range(8)]


def long_calls(keys):
    return [("HLL.FUNNEL", 8, *keys), ("HLL.FUNNEL", 6, *keys[2:], "CONFIDENCE", "0.9"), ("HLL.INTERSECT", 8, *keys),
            ("HLL.SEGMENT", "ALL", 6, *keys[:6], "ANY", 1, keys[6], "NONE", 1, keys[7]), ("HLL.OVERLAP", 24, *keys * 3),
            ("HLL.RETENTION", "COHORTS", 16, *keys * 2, "PERIODS", 16, *keys * 2)]


CANNOT_WAIT = "^ERR HLL: this answer may take [0-9]+ ms and cannot wait inside a transaction or a script, ask for it outside"


def in_a_transaction(client, call):
    client("MULTI")
    client(*call)
    return client("EXEC")[0]


def in_a_script(client, keys, call):
    script = f"redis.setresp({client.protocol}); return redis.pcall(unpack(ARGV))"
    return client("EVAL", script, len(keys), *keys, *call)


def test_where_a_client_cannot_wait_a_short_answer_is_given_and_a_long_one_refused(client, eight):
    """Nobody may hold the server for long, and inside a transaction or a script there is no other way."""
    for call in [("HLL.FUNNEL", 4, *eight[:4]), ("HLL.INTERSECT", 3, *eight[:3]), ("HLL.OVERLAP", 3, *eight[:3]),
                 ("HLL.SEGMENT", "ALL", 2, *eight[:2], "ANY", 1, eight[3], "NONE", 1, eight[4]), ("HLL.COUNT", *eight), ("HLL.ESTIMATE", 8, *eight)]:
        answer = client(*call)
        assert in_a_transaction(client, call) == answer, call
        assert in_a_script(client, eight, call) == answer, call
    for call in long_calls(eight):
        assert not isinstance(client(*call), ReplyError)
        assert re.match(CANNOT_WAIT, in_a_transaction(client, call).text), call
        refused(client, "EVAL", "return redis.pcall(unpack(ARGV))", len(eight), *eight, *call, match=CANNOT_WAIT)


def test_a_table_says_what_its_parts_say(client, eight):
    """The table comes from another thread, step by step, and its parts are worked out at once."""
    def part(first, second):
        common = ask(client, "HLL.INTERSECT", 2, first, second)
        return common["estimate"], common["lower"], common["upper"]

    rows = ask(client, "HLL.OVERLAP", 24, *eight * 3)
    assert len(rows) == 24 * 23 // 2
    for row in rows:
        assert (row["estimate"], row["lower"], row["upper"]) == part(row["first"], row["second"])
    for row in ask(client, "HLL.RETENTION", "COHORTS", 16, *eight * 2, "PERIODS", 16, *eight * 2):
        assert [cell["period"].decode() for cell in row["periods"]] == eight * 2
        for cell in row["periods"]:
            assert (cell["users"], cell["lower"], cell["upper"]) == part(row["cohort"], cell["period"])


def test_nulls_arrive_too(client, eight):
    waited = ask(client, "HLL.FUNNEL", 8, "none", *eight[:7])
    assert [row["users"] for row in waited] == [0] * 8
    assert {row[name] for row in waited for name in ("conversion", "conversion_lower", "conversion_upper", "overall", "drop_off")} == {None}


def test_an_error_in_the_background_is_the_same_error(server, start):
    payload = foreign_payload(start, server.name, elements(0, 9000))
    for protocol in (2, 3):
        c = server.client(protocol)
        for i in range(8):
            put(c, f"k{i}", [range(0, 9000)], 11)
        c("HLL.IMPORT", "k7", "FORMAT", "NATIVE", payload, "REPLACE")
        at_once = refused(c, "HLL.FUNNEL", 2, "k0", "k7")
        assert "hll.hash-seed" in at_once
        for call in (("HLL.FUNNEL", 8, *[f"k{i}" for i in range(8)]), ("HLL.OVERLAP", 64, *[f"k{i}" for i in range(7)] * 9, "k7")):
            assert refused(c, *call) == at_once
        assert blocked(server) == 0


def test_replies_on_one_connection_keep_their_order(client, eight):
    calls = [call for i in range(6) for call in (("HLL.FUNNEL", 6, *eight[2:]), ("ECHO", i), ("HLL.FUNNEL", 2, *eight[:2]), ("HLL.FUNNEL", 9, *"abcdefghi"))]
    replies = client.pipe(calls)
    assert [int(reply) for reply in replies[1::4]] == list(range(6))
    assert all(reply == replies[0] for reply in replies[0::4]) and len(replies[0]) == 6
    assert all(reply == replies[2] for reply in replies[2::4]) and len(replies[2]) == 2
    assert all(isinstance(reply, ReplyError) for reply in replies[3::4])


def test_a_client_that_wants_no_reply_gets_none(server):
    c = server.c
    for i in range(6):
        put(c, f"s{i}", [range(i * 500, 9000)], 10)
    call = ("HLL.FUNNEL", 6, *[f"s{i}" for i in range(6)])
    for command in (("CLIENT", "REPLY", "SKIP"), call, ("ECHO", "after one")):
        c.send(*command)
    assert c.read() == b"after one"
    for command in (("CLIENT", "REPLY", "OFF"), call, ("CLIENT", "REPLY", "ON"), ("ECHO", "after all")):
        c.send(*command)
    assert [c.read(), c.read()] == ["OK", b"after all"]


def test_many_at_once(server):
    """Sixty clients of both protocols, each with a question of its own."""
    c = server.client(3)
    for i in range(7):
        put(c, f"s{i}", [range(i * 500, 9000)], 10)
    questions = [("HLL.FUNNEL", 6, *[f"s{(i + j) % 7}" for j in range(6)], "CONFIDENCE", 0.5 + i / 200) for i in range(60)]
    clients = [server.client(2 + i % 2) for i in range(60)]
    for other, question in zip(clients, questions):
        other.send(*question)
    answers = [other.read() for other in clients]
    for other, answer, question in zip(clients, answers, questions):
        assert read(other, answer, SHAPES["HLL.FUNNEL"]) == ask(c, *question)
    assert blocked(server) == 0


# Others are served


def test_other_clients_are_served_while_an_answer_is_worked_on(server):
    """Also those that write, and those that ask for something short."""
    other = server.client(3)

    def serve(long, size):
        waiting = blocked(server)
        other("HLL.ADD", "new", *elements(0, 100))
        return other("PING"), other("HLL.COUNT", "new", "a0") > 0, estimate(other, "b1")["method"], other("HLL.FUNNEL", 2, "new", "none"), waiting

    pong, counted, method, funnel, waiting = while_working(server, serve)
    assert (pong, counted, method, len(funnel)) == ("PONG", True, "hip", 2)
    assert waiting == WORKERS
    wait_for("the last one to be answered", lambda: blocked(server) == 0)


def test_what_is_short_does_not_wait_for_the_workers(server):
    """While all workers are busy with tables, a short answer is given at once."""
    c = server.c
    keys = [f"s{i}" for i in range(8)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 40_000)], 14)
    short = [("HLL.FUNNEL", 3, *keys[:3]), ("HLL.INTERSECT", 2, *keys[:2]), ("HLL.SEGMENT", "ALL", 1, keys[0], "NONE", 2, *keys[1:3]), ("HLL.OVERLAP", 3, *keys[:3]),
             ("HLL.RETENTION", "COHORTS", 1, keys[0], "PERIODS", 5, *keys[:5]), ("HLL.CAMPAIGN", *keys[:3]), ("HLL.ACCURACY", keys[0])]

    def send(long, size):
        for call in short:
            c(*call)
        return blocked(server)

    assert while_working(server, send) == WORKERS


def test_the_queue_is_fair(server):
    """Who has had the least is next: a new client's answer comes while older tables, of which there are more than workers, are
    still being worked on."""
    c = server.c
    keys = [f"s{i}" for i in range(8)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 40_000)], 12)
    call = ("HLL.FUNNEL", 8, *keys)
    expected = c(*call)
    tables = [server.client() for _ in range(5)]

    prepare(c)
    for other in tables:
        other.send(*long_call(64))
    wait_for("the tables to queue up", lambda: blocked(server) == len(tables))
    assert c(*call) == expected
    assert blocked(server) == len(tables)


def test_a_short_answer_in_a_transaction_or_a_script_does_not_wait(server):
    """Its work is done at once, though every worker is busy."""
    c = server.c
    keys = [f"s{i}" for i in range(4)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 9000)], 10)
    call = ("HLL.FUNNEL", 4, *keys)

    def ask_both(long, size):
        return in_a_transaction(c, call), in_a_script(c, keys, call)

    in_transaction, in_script = while_working(server, ask_both)
    assert in_transaction == in_script == c(*call)


# What may happen meanwhile


@pytest.mark.parametrize("what", ["deleted", "changed", "replaced", "flushed", "flushed later", "swapped", "expired"])
def test_the_answer_is_about_the_keys_as_they_were(server, what):
    """`while_working` compares the answer with the one from before."""
    c = server.c
    keys = [f"{name}{i}" for name in "ab" for i in range(16)]

    def change(long, size):
        if what == "deleted":
            c("DEL", *keys)
        elif what == "changed":
            c.pipe(("HLL.ADD", key, *elements(0, 500, "other")) for key in keys)
            c("HLL.MERGE", "a0", "b0")
        elif what == "replaced":
            c.pipe(("SET", key, "x") for key in keys)
        elif what == "flushed":
            c("FLUSHALL", "SYNC")
        elif what == "flushed later":
            c("FLUSHALL", "ASYNC")
        elif what == "swapped":
            c("SWAPDB", 0, 5)
        else:
            c.pipe(("PEXPIRE", key, -1) for key in keys)

    def restore():
        c("FLUSHALL")
        prepare(c)

    while_working(server, change, restore)


def test_a_client_that_goes_away_leaves_nothing_behind(server):
    """Killed or closed, while its answer is worked on or while it waits in the queue."""
    c = server.c
    prepare(c)
    cell = the_cell(c)

    def connections():
        return int(server.info(section="clients")["connected_clients"])

    def leave(size):
        """Whether all left before they were answered, and before the one that stays was."""
        leaving = [server.client() for _ in range(WORKERS + 3)]
        ids = [other("CLIENT", "ID") for other in leaving]
        for other in leaving:
            other.send(*long_call(size))
        wait_for("all to wait", lambda: blocked(server) == len(leaving) or any(map(has_reply, leaving)))
        staying = server.client()
        staying.send(*long_call(size))
        wait_for("all to wait", lambda: blocked(server) == len(leaving) + 1 or any(map(has_reply, leaving)))
        in_time = not any(map(has_reply, leaving))
        for i, number in enumerate(ids):
            if i % 2:
                c("CLIENT", "KILL", "ID", number)
                with pytest.raises((ConnectionError, OSError)):
                    while True:
                        leaving[i].read()
            leaving[i].close()
            server.clients.remove(leaving[i])
        wait_for("the server to notice", lambda: connections() <= alone + 1)
        in_time = in_time and not has_reply(staying)
        check_long_answer(staying, staying.read(), size, cell)
        staying.close()
        server.clients.remove(staying)
        return in_time

    alone = connections()
    levels, size = [], 0
    while len(levels) < 3:
        if leave(SIZES[size]):
            wait_for("no client to be blocked", lambda: blocked(server) == 0)
            wait_for("the connection to go", lambda: connections() <= alone)
            levels.append(used(server))
        else:
            size += 1
            assert size < len(SIZES), "the answers came too fast"
    print(levels)
    # The copies of one call alone are four megabytes, and each answer is a dozen kilobytes.
    wait_for("the memory to return", lambda: used(server) < levels[0] + 100_000)


def test_answers_leave_no_memory_behind(server):
    c = server.client(3)
    for i in range(6):
        put(c, f"s{i}", [range(i * 500, 9000)], 10)
    call = ("HLL.FUNNEL", 6, *[f"s{i}" for i in range(6)])

    def ask_often():
        replies = c.pipe([call] * 100)
        assert all(reply == replies[0] for reply in replies)
        return used(server)

    first = ask_often()
    ask_often()
    wait_for("the memory to return", lambda: used(server) < first + 100_000)  # a kilobyte for each answer would be 100,000


def long_answers(server):
    """What INFO hll says of them."""
    info = server.info(section="hll")
    return {name.removeprefix("hll_long_answers_"): int(value) for name, value in info.items() if name.startswith("hll_long_answers_")}


def test_the_work_of_clients_that_are_gone_is_dropped(server):
    """A hundred clients ask for long tables and leave. Nothing of that is left for the one who stays to wait for."""
    c = server.c
    before = long_answers(server)
    for i in range(30):
        put(c, f"p{i}", [range(i * 100, 9000)], 10)
    table = ("HLL.RETENTION", "COHORTS", 60, *[f"p{i}" for i in range(30)] * 2, "PERIODS", 60, *[f"p{i}" for i in range(30)] * 2)
    leaving = [server.client() for _ in range(100)]
    for other in leaving:
        other.send(*table)
    wait_for("all to wait", lambda: blocked(server) == 100)
    now = long_answers(server)
    assert now["waiting"] + now["running"] >= 100
    for other in leaving:
        other.close()
        server.clients.remove(other)
    wait_for("nothing to be left", lambda: (long_answers(server)["waiting"], long_answers(server)["running"]) == (0, 0))
    after = long_answers(server)
    assert after["dropped"] == before["dropped"] + 100
    assert after["done"] == before["done"]
    assert len(c("HLL.FUNNEL", 8, *[f"p{i}" for i in range(8)])) == 8
    # The thread counts its answer when it has given it.
    wait_for("it to be counted", lambda: long_answers(server)["done"] == before["done"] + 1)


TOO_LONG = r"^ERR HLL: the answer took longer than hll.query-timeout allows \((.*)\), ask for less at once or raise it$"


def test_a_long_answer_ends_with_an_error_when_its_time_is_up(server, protocol):
    c = server.client(protocol)
    prepare(c)
    before = long_answers(server)
    server.set("hll.query-timeout", "30")
    assert re.match(TOO_LONG, refused(c, *long_call(64))).group(1) == "30 ms"
    wait_for("the work to stop", lambda: (long_answers(server)["waiting"], long_answers(server)["running"]) == (0, 0))
    after = long_answers(server)
    assert (after["timed_out"], after["done"]) == (before["timed_out"] + 1, before["done"])
    assert len(c("HLL.FUNNEL", 3, "a0", "b0", "a1")) == 3  # what is short has no limit
    server.set("hll.query-timeout", "0")
    cell = the_cell(c)
    check_long_answer(c, c(*long_call(8)), 8, cell)


def test_time_that_is_up_while_an_answer_is_handed_over_costs_no_reply(server, protocol):
    """The server is busy with something else when the answer comes and its time is up. Whichever was first, one reply comes, and
    the connection stays in step."""
    c = server.c
    keys = [f"s{i}" for i in range(8)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 9000)], 10)
    server.set("hll.query-timeout", "60")
    asking = server.client(protocol, timeout=20)
    for call in (("HLL.FUNNEL", 8, *keys), ("HLL.INTERSECT", 6, *keys[:6]), ("HLL.OVERLAP", 32, *keys * 4)):
        for sleep in ("0.05", "0.2"):
            asking.send(*call)
            asking.send("ECHO", "next")
            c("DEBUG", "SLEEP", sleep)
            reply = asking.read()
            assert not isinstance(reply, ReplyError) or re.match(TOO_LONG, reply.text)
            assert asking.read() == b"next"
    wait_for("no client to be blocked", lambda: blocked(server) == 0)


def test_only_a_kill_ends_a_long_answer(server):
    """CLIENT UNBLOCK finds nothing that it may unblock. `while_working` checks that the answers come."""
    def unblock(long, size):
        ids = [int(line.split("id=", 1)[1].split()[0]) for line in server.c("CLIENT", "LIST").decode().splitlines() if "cmd=hll.retention" in line.lower()]
        return [server.c("CLIENT", "UNBLOCK", number, *how) for number in ids for how in ([], ["TIMEOUT"], ["ERROR"])]

    assert while_working(server, unblock) == [0] * 3 * WORKERS


def test_a_snapshot_and_a_rewrite_meanwhile_are_whole(server):
    """The server forks while our threads run."""
    c = server.c

    def save(long, size):
        c("BGSAVE")

    while_working(server, save)
    wait_for("the snapshot", lambda: server.info(section="persistence")["rdb_bgsave_in_progress"] == "0")
    assert server.info(section="persistence")["rdb_last_bgsave_status"] == "ok"
    before = c("DEBUG", "DIGEST")
    c("DEBUG", "RELOAD")
    assert c("DEBUG", "DIGEST") == before


@pytest.mark.parametrize("how", ["NOSAVE", "SAVE"])
def test_shutdown_meanwhile(start, server_name, how):
    server = start(server_name)
    prepare(server.c)
    for _ in range(WORKERS + 3):
        server.client().send(*long_call(64))
    wait_for("the work to begin", lambda: blocked(server) == WORKERS + 3)
    with server.client() as c:
        c.send("SHUTDOWN", how)
        server.process.wait(20)
    assert server.process.returncode == 0
    server.close_clients()
    if how == "SAVE":
        server.start()
        assert server.c("DBSIZE") == 32
        assert the_cell(server.c)["users"] > 0


def test_a_change_of_role_meanwhile(start, server_name):
    """A server that becomes a replica sends its blocked clients away."""
    server = start(server_name)
    prepare(server.c)
    cell = the_cell(server.c)
    waiting = [server.client() for _ in range(WORKERS + 1)]
    for c in waiting:
        c.send(*long_call(16))
    wait_for("the work to begin", lambda: blocked(server) > 0)
    server.c("REPLICAOF", "127.0.0.1", 1)
    for c in waiting:
        try:
            check_long_answer(c, c.read(), 16, cell)
        except ReplyError as error:
            assert error.text.startswith("UNBLOCKED")
        except ConnectionError:
            pass
    server.c("REPLICAOF", "NO", "ONE")
    wait_for("no client to be blocked", lambda: blocked(server) == 0)
    c = server.client()
    check_long_answer(c, c(*long_call(8)), 8, cell)


def test_caching_clients_hear_of_changes_to_keys_of_a_long_answer(server):
    c = server.client(3)
    keys = [f"s{i}" for i in range(6)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 9000)], 10)
    c("CLIENT", "TRACKING", "ON")
    c("HLL.FUNNEL", 6, *keys)
    assert server.c("HLL.ADD", "s3", *elements(0, 100, "other")) == 1
    assert c.read_push() == [b"invalidate", [b"s3"]]


def test_statistics_count_a_long_answer_once(server):
    c = server.c
    keys = [f"s{i}" for i in range(6)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 9000)], 10)
    c("CONFIG", "RESETSTAT")
    for _ in range(3):
        c("HLL.FUNNEL", 6, *keys)
    statistics = {name.lower(): value for name, value in server.info(section="commandstats").items()}["cmdstat_hll.funnel"]
    counted = dict(pair.split("=") for pair in statistics.split(","))
    assert (counted["calls"], counted["rejected_calls"], counted["failed_calls"]) == ("3", "0", "0")
    assert int(counted["usec"]) > 0


# The bound


def test_more_than_256_long_answers_at_a_time_are_refused(server):
    c = server.c
    keys = [f"p{i}" for i in range(32)]
    for i, key in enumerate(keys):
        put(c, key, [range(i * 100, 9000)], 10)
    table = ("HLL.RETENTION", "COHORTS", 64, *keys * 2, "PERIODS", 64, *keys * 2)
    before = long_answers(server)
    clients = [server.client() for _ in range(MOST_WAITING + 5)]
    for other in clients:
        other.send(*table)
    wait_for("five to be refused", lambda: sum(map(has_reply, clients)) >= 5)
    assert blocked(server) == MOST_WAITING
    refused_ones = [other for other in clients if has_reply(other)]
    assert [other.read().text for other in refused_ones] == ["ERR HLL: 256 long answers or 256 MiB of copies for them are being worked on, try again later"] * 5
    assert long_answers(server)["refused"] == before["refused"] + 5
    for other in clients:
        if other not in refused_ones[:1]:
            other.close()
            server.clients.remove(other)
    wait_for("no client to be blocked", lambda: blocked(server) == 0)
    assert len(refused_ones[0](*table)) == 64
