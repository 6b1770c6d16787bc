"""A panic inside the module is an error reply, not the end of the server. Only the checked build can be made to panic."""

import pytest

from helpers import KINDS, add, digest, elements, make, state
from resp import ReplyError

CAUGHT = "^ERR HLL: .*internal error"


@pytest.fixture
def panicking(checked):
    """A server on which panics are what we want."""
    checked.expects_panic = True
    yield checked
    checked.expects_panic = False
    checked.mark_log()
    checked.close_clients()


def test_a_panic_is_an_error_and_the_server_lives(panicking):
    c = panicking.c
    for kind in KINDS:
        make(c, kind, kind, 10)
    before, states = digest(c), {kind: state(c, kind) for kind in KINDS}
    with pytest.raises(ReplyError, match=CAUGHT):
        c("HLL.PANIC")
    assert c("PING") == "PONG"
    assert digest(c) == before
    assert {kind: state(c, kind) for kind in KINDS} == states
    for kind in KINDS:
        assert c("HLL.ADD", kind, "quite new", "and another") == 1
        assert c("HLL.MERGE", kind, "hip") == "OK"
    assert c("HLL.COUNT", *KINDS) > 0
    assert c("SAVE") == "OK"


def test_the_log_tells_of_a_panic_once_and_names_the_place(panicking):
    mark = len(panicking.log())
    with pytest.raises(ReplyError):
        panicking.c("HLL.PANIC")
    new = panicking.log()[mark:]
    assert "panic" in new.lower()
    assert ".rs:" in new
    assert len(new.splitlines()) < 30


def test_a_panic_in_a_transaction_and_in_a_script_is_one_error_among_the_replies(panicking):
    c = panicking.c
    c("MULTI")
    c("HLL.ADD", "k", "a")
    c("HLL.PANIC")
    c("HLL.ADD", "k", "b")
    first, caught, last = c("EXEC")
    assert (first, last) == (1, 1)
    assert isinstance(caught, ReplyError) and "internal error" in caught.text
    reply = c("EVAL", "local r = redis.pcall('HLL.PANIC'); redis.call('HLL.ADD', KEYS[1], 'c'); return r.err", 1, "k")
    assert b"internal error" in reply
    assert c("HLL.COUNT", "k") == 3


def test_a_thousand_panics_leave_the_protocol_in_step_and_no_memory_behind(panicking, protocol):
    c = panicking.client(protocol)
    add(c, "k", elements(0, 100))

    def round_():
        replies = c.pipe(command for i in range(500) for command in (("HLL.PANIC",), ("ECHO", i)))
        assert all(isinstance(r, ReplyError) and "internal error" in r.text for r in replies[0::2])
        assert replies[1::2] == [str(i).encode() for i in range(500)]
        c.errors.clear()
        return int(panicking.info(section="memory")["used_memory"])

    first = round_()
    assert round_() < first + 200_000
    assert c("HLL.COUNT", "k") == 100


@pytest.mark.shipped
def test_the_release_build_cannot_be_made_to_panic(server):
    with pytest.raises(ReplyError, match="^ERR unknown command"):
        server.c("HLL.PANIC")
