"""What the server knows of our commands and of the module: arity, keys, flags, categories, documentation, load and unload."""

import pytest

from helpers import add, elements, estimate, info, make
from resp import ReplyError

# name: (arity, flags it must have, flags it must not have, ACL categories, COMMAND GETKEYS of a call)
COMMANDS = {
    "hll.create": (-2, {"write", "denyoom", "fast"}, {"readonly"}, {"@hll", "@write", "@fast"}),
    "hll.add": (-3, {"write", "denyoom", "fast"}, {"readonly"}, {"@hll", "@write", "@fast"}),
    "hll.count": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.merge": (-3, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
    "hll.estimate": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.info": (2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.export": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.import": (-5, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
    "hll.cluster": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.probe": (2, {"readonly", "fast"}, {"write", "denyoom"}, {"@hll", "@read", "@fast"}),
    "hll.cube.create": (-2, {"write", "denyoom", "fast"}, {"readonly"}, {"@hll", "@write", "@fast"}),
    "hll.cube.alter": (-2, {"write", "denyoom", "fast"}, {"readonly"}, {"@hll", "@write", "@fast"}),
    "hll.cube.add": (-4, {"write", "denyoom", "fast"}, {"readonly"}, {"@hll", "@write", "@fast"}),
    "hll.cube.madd": (-7, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
    "hll.cube.count": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.query": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.top": (-4, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.series": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.funnel": (-3, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.retention": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.lifecycle": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.campaign": (-3, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cube.store": (-3, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
    "hll.accuracy.track": (-3, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
    "hll.accuracy.report": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.accuracy.alerts": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.accuracy.reset": (-2, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
    "hll.stats": (1, {"readonly", "fast"}, {"write", "denyoom"}, {"@hll", "@read", "@fast"}),
    "hll.cube.info": (2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
}

# Subcommands; the words "hll.cluster" and the subcommand's own count.
SUBCOMMANDS = {
    **{f"hll.cluster|{name}": (-3, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"})
       for name in ("count", "estimate", "intersect", "overlap", "funnel")},
    "hll.cluster|segment": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cluster|retention": (-2, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cluster|campaign": (-5, {"readonly"}, {"write", "fast", "denyoom"}, {"@hll", "@read", "@slow"}),
    "hll.cluster|merge": (-4, {"write", "denyoom"}, {"readonly", "fast"}, {"@hll", "@write", "@slow"}),
}

KEYS = [
    (("HLL.CREATE", "k", "PRECISION", "10"), ["k"]),
    (("HLL.ADD", "k", "a", "b"), ["k"]),
    (("HLL.COUNT", "a", "b", "c"), ["a", "b", "c"]),
    (("HLL.MERGE", "d", "a", "b"), ["d", "a", "b"]),
    (("HLL.ESTIMATE", "1", "a"), ["a"]),
    (("HLL.ESTIMATE", "3", "a", "b", "c", "CONFIDENCE", "0.9"), ["a", "b", "c"]),
    (("HLL.INFO", "k"), ["k"]),
    (("HLL.EXPORT", "k", "FORMAT", "NATIVE"), ["k"]),
    (("HLL.IMPORT", "k", "FORMAT", "NATIVE", "payload", "REPLACE"), ["k"]),
    (("HLL.PROBE", "k"), ["k"]),
    (("HLL.CLUSTER", "COUNT", "a", "b"), ["a"]),
    (("HLL.CLUSTER", "ESTIMATE", "2", "a", "b"), ["a"]),
    (("HLL.CLUSTER", "SEGMENT", "ANY", "2", "a", "b"), ["a"]),
    (("HLL.CLUSTER", "MERGE", "d", "a"), ["d"]),
    (("HLL.CUBE.CREATE", "k", "DIMENSION", "d"), ["k"]),
    (("HLL.CUBE.ALTER", "k", "ADD", "DIMENSION", "d"), ["k"]),
    (("HLL.CUBE.ADD", "k", "LATE", "DROP", "1", "user", "d", "v"), ["k"]),
    (("HLL.CUBE.MADD", "k", "FIELDS", "1", "d", "ROWS", "1", "user", "v"), ["k"]),
    (("HLL.CUBE.QUERY", "k", "WHERE", "d", "v", "BY", "d"), ["k"]),
    (("HLL.CUBE.TOP", "k", "d", "3"), ["k"]),
    (("HLL.CUBE.FUNNEL", "k", "d", "STEPS", "2", "v", "w", "BY", "e"), ["k"]),
    (("HLL.CUBE.RETENTION", "k", "EVERY", "1w", "PERIODS", "8", "COHORT", "d", "v"), ["k"]),
    (("HLL.ACCURACY.TRACK", "m", "s", "EXACT", "5"), ["m", "s"]),
    (("HLL.ACCURACY.TRACK", "m", "CUBE", "k", "LAST", "1d", "EXACTKEY", "e"), ["m", "k", "e"]),
    (("HLL.ACCURACY.REPORT", "m", "WINDOW", "1d"), ["m"]),
    (("HLL.ACCURACY.RESET", "m", "CONTEXT", "c"), ["m"]),
    (("HLL.CUBE.STORE", "d", "k", "LAST", "1d"), ["d", "k"]),
]


def texts(values):
    """Words as lower case text: command names are the same in any case."""
    return {(v.decode() if isinstance(v, bytes) else str(v)).lower() for v in values}


def pairs(reply):
    """A map, whichever protocol it came in, with text for names."""
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {(k.decode() if isinstance(k, bytes) else str(k)).lower(): v for k, v in items}


def has_categories(server):
    """Categories of module commands came with Redis 7.2; all Valkeys have them."""
    return server.name != "redis-7.0"


@pytest.mark.shipped
def test_every_command_of_ours_is_known_here(server):
    listed = texts(server.c("COMMAND", "LIST", "FILTERBY", "MODULE", "hll"))
    assert set(COMMANDS) <= listed
    assert "hll.panic" not in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_arity_and_flags(server, name):
    arity, wanted, unwanted, _ = COMMANDS[name]
    (described,) = server.c("COMMAND", "INFO", name)
    flags = texts(described[2])
    assert described[1] == arity
    assert wanted <= flags and not unwanted & flags, flags
    assert "module" in flags


@pytest.mark.parametrize("name", COMMANDS)
def test_categories(server, name):
    categories = texts(server.c("COMMAND", "INFO", name)[0][6])
    wanted = COMMANDS[name][3]
    if not has_categories(server):
        wanted = set()  # that server offers no way to set them
    assert wanted <= categories, categories
    if "@read" in wanted:
        assert "@write" not in categories
    if "@write" in wanted:
        assert "@read" not in categories


def test_categories_grant_and_deny(server):
    c = server.c
    if not has_categories(server):
        pytest.skip("redis-7.0 has no categories for module commands")
    c("ACL", "SETUSER", "reader", "on", ">pw", "~*", "-@all", "+@read")
    c("ACL", "SETUSER", "ours", "on", ">pw", "~*", "-@all", "+@hll")
    c("ACL", "SETUSER", "notours", "on", ">pw", "~*", "+@all", "-@hll")
    assert b"hll" in c("ACL", "CAT")
    listed = texts(c("ACL", "CAT", "hll"))  # Redis 7.4 lists no module's commands here, ours or others'
    assert set(COMMANDS) <= listed or (server.name, listed) == ("redis-7.4", set())
    c("HLL.ADD", "k", "a")
    for user, may, may_not in [("reader", ["HLL.COUNT"], ["HLL.ADD"]), ("ours", ["HLL.COUNT", "HLL.ADD"], ["GET"]), ("notours", ["EXISTS"], ["HLL.COUNT", "HLL.ADD"])]:
        me = server.client()
        me("AUTH", user, "pw")
        for command in may:
            me(command, "k", *["x"] * (command == "HLL.ADD"))
        for command in may_not:
            with pytest.raises(ReplyError, match="^NOPERM"):
                me(command, "k", *["x"] * (command == "HLL.ADD"))


@pytest.mark.parametrize("call, keys", KEYS, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_the_server_finds_the_keys_of_a_call(server, call, keys):
    assert server.c("COMMAND", "GETKEYS", *call) == [k.encode() for k in keys]


def test_the_server_knows_which_keys_are_read_and_which_written(server):
    c = server.c
    flags = {k: texts(f) for k, f in c("COMMAND", "GETKEYSANDFLAGS", "HLL.MERGE", "d", "a", "b")}
    assert "rw" in flags[b"d"] and "ro" in flags[b"a"] and "ro" in flags[b"b"]
    for call in (("HLL.COUNT", "a"), ("HLL.ESTIMATE", "1", "a"), ("HLL.INFO", "a"), ("HLL.EXPORT", "a")):
        ((_, f),) = c("COMMAND", "GETKEYSANDFLAGS", *call)
        assert {"ro", "access"} <= texts(f), call
    for call in (("HLL.ADD", "a", "x"), ("HLL.CREATE", "a"), ("HLL.IMPORT", "a", "FORMAT", "NATIVE", "x")):
        ((_, f),) = c("COMMAND", "GETKEYSANDFLAGS", *call)
        assert {"rw", "ow"} & texts(f) and "ro" not in texts(f), call


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_subcommands(server, name):
    arity, wanted, unwanted, categories = SUBCOMMANDS[name]
    (described,) = server.c("COMMAND", "INFO", name)
    flags = texts(described[2])
    assert described[1] == arity
    assert wanted <= flags and not unwanted & flags, flags
    if has_categories(server):
        assert categories <= texts(described[6])
    docs = pairs(pairs(server.c("COMMAND", "DOCS", name))[name])
    assert docs["complexity"].startswith(b"O(") and 20 <= len(docs["summary"]) <= 200
    assert pairs(docs["arguments"][0])


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"hll.cluster"}))
def test_documentation(server, name):
    docs = pairs(pairs(server.c("COMMAND", "DOCS", name))[name])
    assert docs["group"] == b"module"
    assert docs["since"].count(b".") == 2
    assert docs["complexity"].startswith(b"O(")
    assert 20 <= len(docs["summary"]) <= 200
    arguments = [pairs(a) for a in docs.get("arguments", [])]
    names = {a["name"] for a in flatten(arguments)}
    assert {b"key", b"destkey", b"monitor"} & names or COMMANDS[name][0] == 1, names
    tokens = {a["token"].upper() for a in flatten(arguments) if "token" in a}
    assert tokens >= {"hll.create": {b"PRECISION", b"ERROR", b"HASH"}, "hll.estimate": {b"CONFIDENCE"}, "hll.export": {b"FORMAT", b"REDIS", b"DATASKETCHES", b"BASE64"},
                      "hll.import": {b"FORMAT", b"REPLACE", b"MERGE", b"BASE64"}}.get(name, set())


def flatten(arguments):
    for a in arguments:
        yield a
        yield from flatten([pairs(inner) for inner in a.get("arguments", [])])


def test_module_list_shows_us(server):
    modules = [pairs(m) for m in server.c("MODULE", "LIST")]
    (ours,) = [m for m in modules if m["name"] == b"hll"]
    assert ours["ver"] >= 1
    if "path" in ours:
        assert ours["path"].endswith(b"libredis_hll.so")


def test_load_at_run_time_with_arguments(start, server_name, request):
    server = start(server_name, module=False)
    c, path = server.c, request.config.option.module
    with pytest.raises(ReplyError, match="unknown command"):
        c("HLL.ADD", "k", "a")
    assert c("MODULE", "LOAD", path, "default-precision", "9", "hash-seed", "77") == "OK"
    c("HLL.ADD", "k", "a")
    assert info(c, "k")["precision"] == 9
    assert c("CONFIG", "GET", "hll.hash-seed")[1] == b"77"
    with pytest.raises(ReplyError, match="^ERR"):
        c("MODULE", "LOAD", path)  # it is there already
    assert c("HLL.COUNT", "k") == 1


def test_load_at_run_time_with_configuration(start, server_name, request):
    server = start(server_name, module=False)
    c = server.c
    assert c("MODULE", "LOADEX", request.config.option.module, "CONFIG", "hll.default-precision", "8", "CONFIG", "hll.hash-seed", "5") == "OK"
    c("HLL.CREATE", "k")
    assert info(c, "k")["precision"] == 8
    assert c("CONFIG", "GET", "hll.hash-seed")[1] == b"5"


@pytest.mark.parametrize("args", [["default-precision", "3"], ["default-precision"], ["default-precision", "x"], ["nonsense", "1"], ["hash-seed", "-x"],
                                  ["rdb-compression", "brotli"], ["default-precision", "9", "hash-seed"]])
def test_wrong_arguments_refuse_the_load_and_leave_the_server_well(start, newest, request, args):
    server = start(newest, module=False)
    with pytest.raises(ReplyError, match="^ERR"):
        server.c("MODULE", "LOAD", request.config.option.module, *args)
    assert server.c("PING") == "PONG"
    assert server.c("MODULE", "LOAD", request.config.option.module) == "OK"
    assert server.c("HLL.ADD", "k", "a") == 1


def test_unload_is_refused_and_harmless(server):
    c = server.c
    make(c, "k", "hip", 10)
    before = estimate(c, "k")
    with pytest.raises(ReplyError, match="^ERR .*unload"):
        c("MODULE", "UNLOAD", "hll")
    assert estimate(c, "k") == before
    c("FLUSHALL")
    with pytest.raises(ReplyError, match="^ERR .*unload"):
        c("MODULE", "UNLOAD", "hll")
    assert c("HLL.ADD", "k", "a") == 1


def test_command_statistics_and_slow_log_name_our_commands(server):
    c = server.c
    c("CONFIG", "RESETSTAT")
    server.set("slowlog-log-slower-than", "0")
    c("SLOWLOG", "RESET")
    c("HLL.ADD", "k", "a")
    c("HLL.COUNT", "k")
    with pytest.raises(ReplyError):
        c("HLL.CREATE", "k")
    statistics = {name.lower(): value for name, value in server.info(section="commandstats").items()}
    assert statistics["cmdstat_hll.add"].startswith("calls=1,")
    assert "failed_calls=1" in statistics["cmdstat_hll.create"]
    logged = [entry[3][0] for entry in c("SLOWLOG", "GET", "-1")]
    assert b"HLL.ADD" in logged and b"HLL.COUNT" in logged


def test_monitor_shows_calls_as_they_came(server):
    watcher = server.client()
    watcher("MONITOR")
    server.c("HLL.ADD", "key of monitor", "elément\r\n")
    for _ in range(20):
        line = watcher.read()
        if "HLL.ADD" in line:
            assert '"HLL.ADD" "key of monitor" "el\\xc3\\xa9ment\\r\\n"' in line
            return
    pytest.fail("MONITOR did not show the call")


def test_a_sketch_may_be_added_to_from_many_connections_at_once(server):
    c, parts = server.c, 20
    others = [server.client() for _ in range(parts)]
    for i, other in enumerate(others):
        for j in range(50):
            other.send("HLL.ADD", "k", *elements(j * 40 + i, j * 40 + i + 20))
    assert all(other.read() in (0, 1) for other in others for _ in range(50))
    assert c("HLL.COUNT", "k") == len({f"{j * 40 + i + x}" for i in range(parts) for j in range(50) for x in range(20)})
    add(c, "k", elements(0, 10))
