"""The client libraries people use read our replies without help, over both protocols."""

import pytest
import redis
import valkey

from helpers import ESTIMATE_FIELDS, INFO_FIELDS, elements

LIBRARIES = {"redis-py": redis, "valkey-py": valkey}


@pytest.fixture(params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param]


@pytest.fixture
def connection(server, library, protocol):
    with library.Redis(port=server.port, protocol=protocol) as connection:
        yield connection


def test_a_session(connection, library, protocol):
    r = connection
    assert r.execute_command("HLL.CREATE", "k", "PRECISION", 12) in (b"OK", "OK", True)
    assert r.execute_command("HLL.ADD", "k", *elements(0, 500)) == 1
    assert r.execute_command("HLL.ADD", "k", "user:1") == 0
    assert r.execute_command("HLL.COUNT", "k") == 500
    assert r.execute_command("HLL.MERGE", "m", "k", "none") in (b"OK", "OK", True)
    for command, names in (((("HLL.ESTIMATE", 1, "m")), ESTIMATE_FIELDS), (("HLL.INFO", "m"), INFO_FIELDS)):
        reply = r.execute_command(*command)
        if protocol == 3:
            assert type(reply) is dict
            keys = list(reply)
        else:
            assert type(reply) is list
            keys = reply[::2]
        assert [k.decode() for k in keys] == names
    payload = r.execute_command("HLL.EXPORT", "k")
    assert r.execute_command("HLL.IMPORT", "copy", "FORMAT", "NATIVE", payload) in (b"OK", "OK", True)
    assert r.execute_command("HLL.EXPORT", "copy") == payload
    with pytest.raises(library.exceptions.ResponseError, match="^HLL: precision must be 4 to 18, got 19$"):
        r.execute_command("HLL.CREATE", "new", "PRECISION", 19)
    with pytest.raises(library.exceptions.ResponseError, match="WRONGTYPE"):
        r.set("string", "x")
        r.execute_command("HLL.ADD", "string", "a")


def test_pipelines_and_transactions(connection):
    with connection.pipeline(transaction=True) as p:
        p.execute_command("HLL.ADD", "k", "a", "b")
        p.execute_command("HLL.ADD", "k", "a")
        p.execute_command("HLL.COUNT", "k")
        assert p.execute() == [1, 0, 2]
    with connection.pipeline(transaction=False) as p:
        for i in range(1000):
            p.execute_command("HLL.ADD", "many", f"e{i}")
        p.execute_command("HLL.COUNT", "many")
        assert p.execute() == [1] * 1000 + [1000]


def test_dump_and_restore_through_a_client(connection):
    connection.execute_command("HLL.ADD", "k", *elements(0, 3000))
    connection.restore("copy", 0, connection.dump("k"))
    assert connection.execute_command("HLL.EXPORT", "copy") == connection.execute_command("HLL.EXPORT", "k")
    assert connection.type("copy") == b"HLLsketch"
