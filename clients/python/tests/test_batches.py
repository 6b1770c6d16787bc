"""Sending many: how it is cut, what becomes of what the server refuses, and that what is sent twice counts once."""

import io
import socket
import threading

import pytest
import redis

from redis_hll import HLL, BatchError, Counted, Event, TooManyCells
from redis_hll import batches
from redis_hll.batches import Piece, Progress, RowSender, add_elements, chunks, cut, pack
from redis_hll.wire import Wire, packed

BEGIN = 1_772_409_600_000  # 2026-03-02T00:00:00Z
HOUR = 3_600_000


class Clock:
    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_chunks_are_full_unless_the_source_is_slow():
    assert [len(chunk) for chunk in chunks(iter(range(25)), 10, Clock(0))] == [10, 10, 5]
    assert [len(chunk) for chunk in chunks(list(range(25)), 10, Clock(9))] == [10, 10, 5], "a list does not wait"
    assert [len(chunk) for chunk in chunks(iter(range(6)), 100, Clock(0.4))] == [3, 3], "a second after the first of a chunk it goes"
    assert list(chunks(iter(()), 10)) == []


def test_commands_are_cut_by_number_and_by_bytes(rng):
    words = [b"x" * rng.choice((0, 3, 15, 3000, 70_000)) for _ in range(3000)]
    pieces = [list(piece) for piece in cut(words, 100)]
    assert [word for piece in pieces for word in piece] == words
    for piece in pieces:
        assert 0 < len(piece) <= 100 and (sum(map(len, piece)) <= batches.BYTES or len(piece) == 1)
    for piece, behind in zip(pieces, pieces[1:]):
        assert len(piece) == 100 or sum(map(len, piece)) + len(behind[0]) > batches.BYTES, "as full as may be"


def test_commands_are_packed_as_the_libraries_pack_them(rng):
    connection = redis.Connection()
    for _ in range(200):
        words = [rng.randbytes(rng.choice((0, 1, 9, 10, 1023, 1024, 5000))) for _ in range(rng.randrange(6))]
        assert packed("HLL.ADD", words) == b"".join(connection.pack_command("HLL.ADD", *words))


def test_after_an_interruption_replies_are_not_those_of_the_next_command(one_server, monkeypatch):
    """Ctrl-C between two replies: the connection is not used again."""
    with redis.Redis(port=one_server.port) as client:
        hll, read = HLL(client), redis.Connection.read_response
        hll.add("k", "first")
        left = [2]

        def interrupted(connection, *arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return read(connection, *arguments, **options)
        monkeypatch.setattr(redis.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hll.add_many("k", map(str, range(10_000)))
        monkeypatch.undo()
        assert hll.add_many("k", map(str, range(20_000))).elements == 20_000
        assert hll.estimate("k").holds(20_001) or hll.count("k") == pytest.approx(20_001, rel=0.05)


def test_which_clients_are_sent_to_directly(one_server):
    port = one_server.port
    for client, direct in ((redis.Redis(port=port), True), (redis.Redis(port=port, single_connection_client=True), False)):
        with client:
            assert (Wire.of(client, redis.ResponseError) is not None) == direct
            hll = HLL(client)
            assert hll.add_many(f"k{direct}", map(str, range(3000))).elements == 3000 and hll.add_many(f"k{direct}", ["x"]).commands == 1
            with pytest.raises(BatchError, match="WRONGTYPE"):
                client.set("text", "x")
                hll.add_many("text", ["a"])


def test_rows_become_words():
    assert pack([Event("a", BEGIN, {"x": 1, "y": None}), ("b", None, {"z": "v"}), ("c",)], None) == (
        ("x", "y", "z"), [b"%d" % BEGIN, b"a", b"1", b"", b"", b"*", b"b", b"", b"", b"v", b"*", b"c", b"", b"", b""])
    assert pack([("a", BEGIN, "v", None)], ("x", "y")) == (("x", "y"), [b"%d" % BEGIN, b"a", b"v", b""])


def test_rows_that_are_too_many_are_cut_where_the_server_says():
    """Every row is counted once, whatever is refused on the way, and the size comes back."""
    def answers(command):
        rows = (len(command.words) - 10) // 3
        return TooManyCells("HLL: the rows from 51 on would be counted in more than 20000 cells") if rows > 50 else Counted(rows)
    sender = RowSender(b"k", b"p", lambda piece: b"%d-%d" % (piece.first, piece.last))
    rows = [word for number in range(450) for word in (b"%d" % number, b"u", b"v")]
    conversation = sender.deliver(sender.pieces(("f",), rows, 1000))
    made, seen = next(conversation), []
    with pytest.raises(StopIteration):
        while True:
            made = [command.stamped("unused", str) for command in made]
            replies = [answers(command) for command in made]
            seen += [word for command, reply in zip(made, replies) if isinstance(reply, Counted) for word in command.words[10::3]]
            made = conversation.send(replies)
    assert sender.total == Counted(450) and sorted(map(int, seen)) == list(range(450))
    assert sender.size == 50
    whole = sender.deliver(sender.pieces(("f",), rows[:30], 0))
    next(whole)
    with pytest.raises(StopIteration):
        whole.send([Counted(10)])
    assert sender.size == 100


def test_pieces_know_which_rows_they_have():
    piece = Piece(10, 19, list(range(10, 20)), [word for n in range(10, 20) for word in (b"%d" % n, b"u")], ())
    left, right = piece.without(3).split(5)
    assert (left.first, left.last, left.numbers) == (10, 15, [10, 11, 12, 14, 15])
    assert (right.first, right.last, right.numbers) == (16, 19, [16, 17, 18, 19])
    assert (left.words + right.words)[::2] == [b"%d" % n for n in range(10, 20) if n != 13]


def test_a_batch_error_says_how_far_it_came():
    progress = Progress()
    conversation = add_elements([(b"k", [b"x"] * 2500)], progress)
    assert [len(command.words) for command in next(conversation)] == [1001, 1001, 501]
    with pytest.raises(BatchError) as stopped:
        conversation.send([1, redis.ResponseError("refused"), 1])
    assert (stopped.value.sent, stopped.value.first_row, stopped.value.last_row) == (1000, 1000, 1999)
    assert isinstance(stopped.value.__cause__, redis.ResponseError)


# ---- against a server


@pytest.fixture
def hll(server):
    with redis.Redis(port=server.port) as client:
        yield HLL(client, strict=True)


def test_many_elements(hll, tmp_path):
    ids = tmp_path / "ids"
    ids.write_bytes(b"".join(b"user-%d\r\n" % number for number in range(1800)))
    for name, source in (("text", ids.open()), ("bytes", ids.open("rb")), ("list", [f"user-{n}" for n in range(1800)])):
        with source if isinstance(source, io.IOBase) else io.BytesIO():
            assert hll.add_many(name, source).elements == 1800
    assert hll.count("text", "bytes", "list") == 1800, "lines are without their ends"
    assert hll.add_many_to((f"key:{n % 7}", n) for n in range(700)).elements == 700
    assert hll.count(*(f"key:{n}" for n in range(7))) == 700


def test_rows_that_begin_many_slices_are_counted_all_and_once(hll):
    """Each of them begins a slice of its own, as many cells as sixty others: a MADD of 200 is refused by the server."""
    cube = hll.cube("shop")
    cube.create(tiers=[("1h", "400d")], dimensions=["a", "b", "c"], groups=["a,b"])
    rows = [(f"u{number}", BEGIN + number * HOUR, "x", number % 5, None) for number in range(2000)]
    assert cube.add_many(rows, fields=("a", "b", "c")) == Counted(2000)
    assert cube.count(where={"a": "x"}).events == 2000
    assert sum(row.events for row in cube.query(by="b")) == 2000


def test_a_row_that_is_wrong_stops_and_is_named(hll):
    cube = hll.cube("shop")
    cube.create(tiers=[("1d", "400d")], measures=["revenue"])
    rows = [("u", BEGIN, 1)] * 450 + [("u", BEGIN, "much")] + [("u", BEGIN, 1)] * 49
    with pytest.raises(BatchError, match="rows 400 to 499: .*row 51: measure revenue must be a number") as stopped:
        cube.add_many(rows, fields=["revenue"])
    assert (stopped.value.sent, cube.count().events) == (400, 400)
    assert stopped.value.__cause__.row == 51


def test_a_writer_counts_when_it_ends(hll):
    cube = hll.cube("shop")
    cube.create(tiers=[("1d", "400d")], dimensions=["page"])
    with cube.writer() as writer:
        for number in range(3300):
            writer.add(f"u{number}", BEGIN, page="/")
        assert writer.counted.counted == 3200, "a flush is 16 commands of 200 rows"
    assert writer.counted.counted == cube.count().events == 3300
    with pytest.raises(ZeroDivisionError), cube.writer() as writer:
        writer.add("u", BEGIN)
        1 / 0
    assert cube.count().events == 3300, "what was waiting when something went wrong is not sent"


class Cutting:
    """A proxy that once passes a command on, waits for the answer, and breaks the connection instead of giving it."""

    def __init__(self, port, word):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port, self.target, self.word, self.cuts = self.listening.getsockname()[1], port, word, 1
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            while data := client.recv(1 << 20):
                server.sendall(data)
                answer = server.recv(1 << 20)
                if self.word in data and self.cuts:
                    self.cuts -= 1
                    return
                client.sendall(answer)


def test_an_answer_that_is_lost_makes_nothing_count_twice(server):
    """redis-py from version 6 on sends the command again, and the server knows it by its id; older ones say that it broke."""
    direct = HLL(redis.Redis(port=server.port)).cube("shop")
    direct.create(tiers=[("1d", "400d")])
    for number, sends in ((1, lambda cube: cube.add("u", BEGIN)), (40, lambda cube: cube.add_many([("u", BEGIN)] * 40, fields=()))):
        before = direct.count().events or 0
        proxy = Cutting(server.port, b"HLL.CUBE")
        cube = HLL(redis.Redis(port=proxy.port)).cube("shop")
        try:
            assert sends(cube) in (False, Counted(0, 40, 0)), "it was sent again"
        except (redis.ConnectionError, BatchError) as broken:
            assert int(redis.__version__.split(".")[0]) < 6, broken
        proxy.listening.close()
        assert proxy.cuts == 0, "the answer was cut off"
        assert direct.count().events - before == number


def test_two_workers_of_one_name_do_not_take_each_others_events_for_their_own(server):
    cubes = [HLL(redis.Redis(port=server.port), producer="web-3").cube("shop") for _ in range(2)]
    cubes[0].create(tiers=[("1d", "400d")])
    assert all(cube.add("u", BEGIN) for cube in cubes for _ in range(3))
    assert cubes[0].add("u", BEGIN, event_id="e") and not cubes[1].add("u", BEGIN, event_id="e")
    assert cubes[0].count().events == 7
