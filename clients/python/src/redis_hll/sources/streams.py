"""A Redis Stream into a cube by a consumer group, so that each entry counts once, however often consumers are killed.

One batch is in flight: entries are read, sent as one HLL.CUBE.MADD whose id is the first and the last entry and whose producer is
the stream, the group and the consumer, and acknowledged together. So what is pending of a consumer *is* its batch: after a kill the
same command is sent again, and the server knows by its id whether it had been counted.

Two cases need a note on the server before anything is sent. A command that is refused because its rows begin too many slices is
sent in parts: the note says where the first part ends, so that it is sent again as that part and not as the whole. And who takes
over the entries of a consumer that has gone, all of them at once, sends them in that consumer's name: if it was only slow, one of
the two counts as a duplicate. The note says whose they are.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..batches import when
from ..commands import Text, cube, word
from ..commands.cube import Late
from ..errors import HLLError, TooManyCells
from ..results import Counted
from ..shells import HLL
from .columns import Columns
from .loading import KEEP, tag

MOST = 3_000  # rows that one command may have
BLOCK = 1_000  # milliseconds that a read waits for entries

Entry = tuple[bytes, dict[str, bytes] | None]  # None where it has been deleted from the stream meanwhile


def _place(entry: bytes) -> tuple[int, int]:
    """The parts of an entry's id, which are in order as numbers and not as texts."""
    time, _, number = entry.partition(b"-")
    return int(time), int(number)


def _name(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


@dataclass
class Consumed:
    """What has become of the entries."""

    entries: int = 0
    counted: Counted = field(default_factory=Counted)
    bad: int = 0
    batches: int = 0


class Consumer:
    """One consumer of a group; two at a time must not have the same name. `bad` is told of entries that cannot be counted: their id
    and why. The client of `hll` must not decode replies."""

    def __init__(self, hll: HLL, stream: Text, group: str, consumer: str, key: Text, columns: Columns, *, count: int = 500,
                 late: Late = "drop", bad: Callable[[str, str], None] = lambda entry, reason: None) -> None:
        if not 1 <= count <= MOST:
            raise ValueError(f"a batch has 1 to {MOST:,} entries")
        self._hll, self._stream, self._group, self._consumer = hll, word(stream), group, consumer
        self._client = hll.client
        self._key, self._columns, self._count, self._late, self._bad = word(key), columns, count, late, bad
        self.consumed = Consumed()

    def _producer(self, consumer: str) -> str:
        return f"{self._stream.decode('utf-8', 'backslashreplace')}:{self._group}:{consumer}"

    # Notes

    def _note(self, producer: str) -> bytes:
        return b"redis-hll:consume:{%b}:%b" % (tag(self._key), producer.encode())

    def _noted(self, producer: str) -> dict[str, bytes]:
        return {_name(name): word(value) for name, value in self._client.hgetall(self._note(producer)).items()}

    def _write(self, producer: str, note: dict[str, str | bytes]) -> None:
        key = self._note(producer)
        self._client.hset(key, mapping=note)
        self._client.expire(key, KEEP)

    def _owner(self, consumer: str, first: bytes, last: bytes) -> str:
        """In whose name a consumer sends these entries: its own, unless it has taken them over."""
        producer = self._producer(consumer)
        noted = self._noted(producer)
        if "of" in noted and _place(noted["of_first"]) <= _place(first) and _place(last) <= _place(noted["of_last"]):
            return _name(noted["of"])
        return producer

    # Running

    def begin(self, start: str = "0") -> None:
        """Creates the group where it is missing, to read from behind the entry `start` on ($: only what comes from now on), and settles
        what a run before this one has left."""
        try:
            self._client.xgroup_create(self._stream, self._group, start, mkstream=True)
        except Exception as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._settle_pending()

    def step(self) -> int:
        """Reads and counts one batch; how many entries it had, 0 after a second without any."""
        entries = self._entries(self._client.xreadgroup(self._group, self._consumer, {self._stream: ">"}, count=self._count, block=BLOCK))
        if not entries:
            return 0
        earlier = self._client.xpending_range(self._stream, self._group, "-", b"(" + entries[0][0], 1, consumername=self._consumer)
        if earlier:  # the answer of a read was lost, and the client has read once more: all of it is the batch now
            return self._settle_pending()
        self._settle(entries, self._producer(self._consumer))
        return len(entries)

    def take_over(self, idle_milliseconds: int) -> int:
        """Takes the entries of consumers that have not been heard for so long; how many they were."""
        taken = 0
        for about in self._client.xinfo_consumers(self._stream, self._group):
            about = {_name(field): value for field, value in about.items()}
            name = _name(about["name"])
            if name == self._consumer or not about["pending"] or about["idle"] < idle_milliseconds:
                continue
            waiting = self._client.xpending_range(self._stream, self._group, "-", "+", MOST, consumername=name)
            ids = [word(entry["message_id"]) for entry in waiting]
            if ids:
                owner = self._owner(name, ids[0], ids[-1])
                self._write(self._producer(self._consumer), {"of": owner, "of_first": ids[0], "of_last": ids[-1]})
                # Of two who take at once one gets all and the other none: the first makes them busy for the second.
                self._client.xclaim(self._stream, self._group, self._consumer, idle_milliseconds, ids)
                taken += self._settle_pending()
        return taken

    # One batch

    @staticmethod
    def _entries(reply: Any) -> list[Entry]:
        """The entries of one stream, in whichever of their forms the client gives them."""
        if not reply:
            return []
        found = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
        if found and isinstance(found[0], list) and (not found[0] or isinstance(found[0][0], (list, tuple))):
            found = [entry for part in found for entry in part]
        return [(word(entry), {_name(name): word(value) for name, value in fields.items()} if fields else None) for entry, fields in found]

    def _settle_pending(self) -> int:
        """Settles all that this consumer has read and not acknowledged; how many entries it was."""
        pending: list[Entry] = []
        while True:
            begin = pending[-1][0] if pending else b"0"
            entries = self._entries(self._client.xreadgroup(self._group, self._consumer, {self._stream: begin}, count=MOST))
            if not entries:
                break
            pending += entries
        if pending:
            self._settle(pending, self._owner(self._consumer, pending[0][0], pending[-1][0]))
        return len(pending)

    def _settle(self, entries: list[Entry], producer: str) -> None:
        """Counts entries and acknowledges them, as the whole that they are or in the parts that a note tells of."""
        noted = self._noted(producer)
        most = len(entries)
        if noted.get("first") == entries[0][0]:
            most = sum(_place(entry) <= _place(noted["last"]) for entry, _ in entries)
        while entries:
            part = entries[:min(most, MOST)]
            try:
                counted = self._send(part, producer)
            except TooManyCells:
                if len(part) == 1:
                    raise
                most = len(part) // 2
                self._write(producer, {"first": part[0][0], "last": part[most - 1][0]})
                continue
            self._client.xack(self._stream, self._group, *(entry for entry, _ in part))
            self.consumed.counted += counted
            self.consumed.entries += len(part)
            self.consumed.batches += 1
            entries = entries[len(part):]
            most = len(entries)

    def _send(self, part: list[Entry], producer: str) -> Counted:
        """One command. Its id is of the entries, whichever of them are left out because they cannot be counted."""
        bad: list[tuple[str, str]] = []
        rows = list(self._rows(part, bad))
        identity = part[0][0] + b"-" + part[-1][0]
        counted = Counted()
        while rows:
            words = [item for _, row in rows for item in row]
            try:
                counted = self._hll.run(cube.madd(self._key, self._columns.fields, words, producer=producer, id=identity, late=self._late))
                break
            except TooManyCells:
                raise
            except HLLError as error:
                if error.row is None or error.row > len(rows):
                    raise
                bad.append((rows.pop(error.row - 1)[0], re.sub(r"^(ERR )?HLL: row \d+: ", "", str(error))))
        for entry, reason in bad:
            self._bad(entry, reason)
        self.consumed.bad += len(bad)
        return counted

    def _rows(self, part: list[Entry], bad: list[tuple[str, str]]) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        for entry, fields in part:
            name = entry.decode()
            if fields is None:
                bad.append((name, "the stream has it no more"))
                continue
            try:
                row = self._columns.row([fields.get(column) for column in self._columns.names])
            except ValueError as error:
                bad.append((name, str(error)))
                continue
            if row is None:
                bad.append((name, f"it has no {self._columns.user}"))
                continue
            at = _place(entry)[0] if row[1] is None else row[1]
            yield name, (when(at), row[0], *row[2:])
