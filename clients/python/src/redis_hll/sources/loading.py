"""Loading events into a cube so that each counts once, however often the loading is interrupted.

Rows are numbered in the order of the file and cut into commands by number and bytes alone, never by time, so a second run cuts
them in the same way. Each command has an id, its first and its last row, for one producer, which is a hash of the file's beginning
and of the mapping: the server counts it once. A small hash beside the cube, the journal, keeps the last row of the last flush that
was finished; a run that was interrupted is taken up there, and what had been sent of the flush that was not finished is known to
the server by its ids.

One case needs more. A command that begins many slices may be refused, and is then sent in two. Were the whole sent again later,
when its slices are there, it would be taken, and its halves counted twice. So where a command is cut is written to the journal
before the first half is sent, and a later run cuts it there at once.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from ..batches import COMMANDS, ROWS, Exchange, Piece, RowSender, row_words
from ..commands import Command, Text, word
from ..commands.cube import Late
from ..errors import HLLError
from ..replies import Reply
from ..results import Counted
from ..shells import HLL

KEEP = 30 * 86_400  # seconds that a journal stays after its last write


def tag(key: bytes) -> bytes:
    """What of a key decides its slot."""
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1)
    return key[begin + 1:end] if begin >= 0 and end > begin + 1 else key


def _any(reply: Reply) -> Any:
    return reply.value


def _in_order(commands: list[Command[Any]]) -> Exchange[None]:
    """Commands that are sent together. Raises the first error."""
    for result in (yield commands):
        if isinstance(result, Exception):
            raise result


class Journal:
    """How far a loading is, on the server, in the slot of the cube."""

    def __init__(self, hll: HLL, cube: bytes, name: str) -> None:
        self._hll = hll
        self.key = b"redis-hll:load:{%b}:%b" % (tag(cube), name.encode())

    def command(self, name: str, *words: bytes | int) -> Command[Any]:
        """A command about the journal."""
        return Command(name, (self.key, *map(word, words)), _any, self.key, writes=True)

    def read(self) -> dict[str, int]:
        """All it says: `done` rows, how often the file was begun again, and by `first-last` of a command the row at which it was cut."""
        reply = self._hll.run(self.command("HGETALL"))
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        return {Reply(name).text(): Reply(value).integer() for name, value in pairs}

    def again(self, generation: int) -> None:
        """From the beginning once more, under ids of a new generation."""
        self._hll.run(self.command("HSET", b"done", 0, b"generation", generation))


class JournaledSender(RowSender):
    """Rows whose numbers are the same in every run."""

    def __init__(self, key: bytes, producer: bytes, journal: Journal, late: Late, bad_row: Callable[[int, HLLError], bool]) -> None:
        super().__init__(key, producer, lambda piece: b"%d-%d" % (piece.first, piece.last), late)
        self._journal, self._bad_row = journal, bad_row
        self.cuts: set[str] = set()

    def noted(self, piece: Piece, middle: int) -> list[Command[Any]]:
        name = f"{piece.first}-{piece.last}"
        self.cuts.add(name)
        return [self._journal.command("HSET", name.encode(), middle), self._journal.command("EXPIRE", KEEP)]

    def leaves_out(self, piece: Piece, row: int, error: HLLError) -> bool:
        return self._bad_row(piece.numbers[row], error)

    def planned(self, piece: Piece, cuts: dict[str, int]) -> Iterator[Piece]:
        """A piece as an earlier run has cut it."""
        name = f"{piece.first}-{piece.last}"
        middle = cuts.get(name)
        if middle is None:
            yield piece
            return
        self.cuts.add(name)
        for half in piece.split(bisect_left(piece.numbers, middle)):
            yield from self.planned(half, cuts)


class CubeLoading:
    """One file into one cube. `start` is the number of rows that earlier runs have finished; `done` grows with each flush. `again`
    loads all of them once more."""

    def __init__(self, hll: HLL, cube: Text, fields: tuple[str, ...], name: str, late: Late,
                 bad_row: Callable[[int, HLLError], bool] = lambda line, error: False, again: bool = False) -> None:
        self._hll, self._fields, self._bad = hll, fields, bad_row
        self._journal = Journal(hll, word(cube), name)
        self._lines: list[int] = []
        self._known = self._journal.read()
        self.start = self.done = self._known.pop("done", 0)
        generation = self._known.pop("generation", 0)
        if again and self.start:
            generation += 1
            self._journal.again(generation)
            self.start = self.done = 0
        producer = b"load:%b.%d" % (name.encode(), generation)
        self._sender = JournaledSender(word(cube), producer, self._journal, late, self._bad_number)

    @property
    def total(self) -> Counted:
        """What has become of the rows of this run."""
        return self._sender.total

    def _bad_number(self, number: int, error: HLLError) -> bool:
        return self._bad(self._lines[number - self.done], error)

    def load(self, rows: Iterable[tuple[int, tuple[Any, ...]]]) -> Iterator[int]:
        """Sends the rows (element, time, values; in bytes), each with the number of its line, from the first that is not finished on;
        yields after each flush how many are. Raises BatchError."""
        ahead = iter(rows)
        for _ in islice(ahead, self.start):
            pass
        while block := list(islice(ahead, ROWS * COMMANDS)):
            self._lines = [line for line, _ in block]
            yield self._flush([row for _, row in block])

    def _flush(self, chunk: list[tuple[Any, ...]]) -> int:
        elements, times, *columns = zip(*chunk, strict=True)
        words = row_words(times, elements, columns)
        sender = self._sender
        sender.size = ROWS  # cut as every run cuts
        pieces = [part for piece in sender.pieces(self._fields, words, self.done) for part in sender.planned(piece, self._known)]
        self._hll.exchange(sender.deliver(pieces))
        self.done += len(chunk)
        notes = [self._journal.command("HSET", b"done", self.done), self._journal.command("EXPIRE", KEEP)]
        if sender.cuts:
            notes.append(self._journal.command("HDEL", *(name.encode() for name in sender.cuts)))
            sender.cuts.clear()
        self._hll.exchange(_in_order(notes))
        return self.done
