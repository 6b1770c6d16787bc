"""What may go wrong, as classes.

Every error that comes from the server is one of these *and* of the class that the client library raised, so
`except redis.ResponseError` goes on working in code that knows nothing of this package:

    HLLError
      KeyMissing        there is no such key
      KeyExists         there is one already
      WrongType         the key holds something else
      PFKeyReadOnly     a key of PFADD is only read
      Incompatible      sketches of different hash functions or seeds, or a format that this one cannot have
      BadArgument       everything else that the server refuses because of how it was asked
      BadPayload        bytes that are no sketch
      NoGroup           the question needs a GROUP that the cube lacks
      TooLate           the event is older than all that the cube keeps
      AheadOfClock      the event is ahead of the server's clock
      TooManyCells      rows of one command that would be counted in too many cells; `row` says from which on
      Full              a limit of memory has been reached
      Busy              too much is being worked on, or the answer would take longer than it may
      ClusterDown       a node of the cluster does not answer, or nobody serves a slot
      NotAllowed        the user may not ask for all of the keys
      CrossSlot         the keys lie in several slots of a cluster
      CommandMissing    the server has no such command: the module is not loaded, or older
      ReplyError        the reply is not what this package knows
      BatchError        some of many were sent, and then something went wrong
"""

import re
from typing import Any


class HLLError(Exception):
    """Whatever goes wrong with a sketch or a cube. `row` is the number of the row that is wrong, from 1 on, where many were given."""

    @property
    def row(self) -> int | None:
        """Of a command with many rows the one that the server names, from 1 on."""
        found = re.search(r"HLL: row (\d+): ", str(self))
        return int(found[1]) if found else None


class KeyMissing(HLLError):
    """There is no such key."""


class KeyExists(HLLError):
    """There is a key of this name already."""


class WrongType(HLLError):
    """The key holds another type of value."""


class PFKeyReadOnly(HLLError):
    """The key is of PFADD, which is only read here: merge it into a new key and write to that."""


class Incompatible(HLLError):
    """Sketches that cannot be combined, or a format that this sketch cannot be exported to."""


class BadArgument(HLLError):
    """The command was asked in a way that the server refuses; the text says what would be right."""


class BadPayload(HLLError):
    """The bytes are no sketch of the format that was named."""


class NoGroup(HLLError):
    """The question speaks of several dimensions of one event and the cube has no such GROUP."""


class TooLate(HLLError):
    """The event is older than everything that the cube keeps."""


class AheadOfClock(HLLError):
    """The event is ahead of the server's clock by more than it allows."""


class TooManyCells(HLLError):
    """The rows of one command would be counted in more cells than one command may; from `row` on."""

    @property
    def row(self) -> int | None:
        """The first row that is too many, from 1 on."""
        found = re.search(r"the rows from (\d+) on", str(self))
        return int(found[1]) if found else None


class Full(HLLError):
    """A cube has reached its MAXBYTES, or a sketch would exceed hll.max-memory-per-key."""


class Busy(HLLError):
    """The server has too many long answers to work on, or this one takes longer than it may: try again later, or ask for less."""


class ClusterDown(HLLError):
    """A node of the cluster that has some of the keys does not answer, or no node serves their slot."""


class NotAllowed(HLLError):
    """The user may not run the plain command with all of the keys, which HLL.CLUSTER would do for it."""


class CrossSlot(HLLError):
    """The keys lie in several slots of a cluster, and one command answers for one: give them a common {tag}, or ask `hll.cluster`."""


class CommandMissing(HLLError):
    """The server does not know the command: the module is not loaded there, or is older than this package."""


class ReplyError(HLLError):
    """A reply that is not what this package knows."""


class BatchError(HLLError):
    """Sending many stopped. `sent` were taken by the server; `first_row` to `last_row`, from 0 on, is the command that was refused.

    What came behind it in the same flush may have been taken as well. The cause has the server's words.
    """

    def __init__(self, message: str, sent: int = 0, first_row: int = 0, last_row: int = 0) -> None:
        super().__init__(message)
        self.sent, self.first_row, self.last_row = sent, first_row, last_row

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchError, (str(self), self.sent, self.first_row, self.last_row)


# The first that fits. Client libraries take the leading ERR away or leave it, so the patterns do without.
_CLASSES: tuple[tuple[re.Pattern[str], type[HLLError]], ...] = tuple((re.compile(pattern), cls) for pattern, cls in (
    (r"WRONGTYPE", WrongType),
    (r"CROSSSLOT|HLL: .*different slots|don't hash to the same slot|[Kk]eys .*same (key )?slot", CrossSlot),
    (r"unknown command .?'?HLL\.", CommandMissing),
    (r"HLL: (row \d+: )?there is no such key", KeyMissing),
    (r"HLL: the key is there already", KeyExists),
    (r"HLL: .* is a PF key and only read here", PFKeyReadOnly),
    (r"HLL: PF key .* is damaged|HLL: payload ", BadPayload),
    (r"HLL: .*cannot be combined|HLL: this format needs|HLL: .*has another hll\.hash-seed", Incompatible),
    (r"HLL: this user may not run", NotAllowed),
    (r"HLL: node .* did not answer|HLL: the slot of key .* is served by no node", ClusterDown),
    (r"HLL: no GROUP holds", NoGroup),
    (r"HLL: .*is before everything that the cube keeps", TooLate),
    (r"HLL: .*ahead of the server's clock", AheadOfClock),
    (r"HLL: the rows from \d+ on would be counted in more than", TooManyCells),
    (r"HLL: .*has reached its MAXBYTES|HLL: .*hll\.max-memory-per-key is", Full),
    (r"HLL: .*try again later|HLL: .*ask again|HLL: .*hll\.(query|cluster)-timeout|HLL: .*cannot wait", Busy),
    (r"HLL: |wrong number of arguments for '[Hh][Ll][Ll]\.", BadArgument),
))


_made: dict[tuple[type[HLLError], type[Exception]], type[HLLError]] = {}


def _both(mine: type[HLLError], theirs: type[Exception]) -> type[HLLError]:
    """The class that is both; the same one each time."""
    found = _made.get((mine, theirs))
    if found is None:
        names = {"__module__": __name__, "__doc__": mine.__doc__, "__reduce__": _reduce}
        found = _made[mine, theirs] = type(mine.__name__, (mine, theirs), names)
    return found


def _reduce(error: HLLError) -> tuple[Any, ...]:
    """Pickling: the class is made anew on the other side."""
    mine, theirs = type(error).__bases__
    return _again, (mine, theirs, error.args)


def _again(mine: type[HLLError], theirs: type[Exception], arguments: tuple[Any, ...]) -> HLLError:
    return _both(mine, theirs)(*arguments)


def translate(error: Exception) -> Exception:
    """The error of a client library as one of the classes above and its own; others, as broken connections, stay as they are."""
    if isinstance(error, HLLError):
        return error
    said = str(error)
    for pattern, cls in _CLASSES:
        if pattern.search(said):
            made = _both(cls, type(error))
            try:
                return made(*error.args)
            except TypeError:  # a class of the library that wants more than its text
                return made(said)
    return error
