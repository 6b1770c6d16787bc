"""Every command of the module as a function that makes a `Command`: its words, and how its reply is read. No I/O here, so
that one description serves clients that wait, clients that are awaited, and pipelines."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..replies import Reply

T = TypeVar("T")
Text = str | bytes
Value = str | bytes | int | float
"""An element, a value of a dimension or a number: sent as redis-py would, `7` as the text 7."""


def word(value: Value) -> bytes:
    """A word of a command. Text is UTF-8; what was no UTF-8 when it was read comes out as it went in (surrogateescape)."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r:.40} is neither a text, nor bytes, nor a number")
    return repr(value).encode()


def words(values: Sequence[Any]) -> Sequence[bytes]:
    """The words of many values; None is the empty word. The usual cases, all text or all bytes, take a tenth of the time."""
    try:
        return [value.encode() for value in values]
    except (AttributeError, UnicodeEncodeError):
        if set(map(type, values)) == {bytes}:
            return values
        return [b"" if value is None else word(value) for value in values]


@dataclass(frozen=True, slots=True)
class Stamp:
    """IDMP, by which a command that is sent twice counts once, and where it goes among the words; a shell fills in what is None."""

    position: int = 1
    producer: bytes | None = None
    id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """The `words` behind the name, what the reply is read with, and a key that says which node of a cluster it is for. `movable`
    keys stand at no fixed place; `writes` tells what must not be repeated without need."""

    name: str
    words: tuple[bytes, ...]
    parse: Callable[[Reply], T]
    key: bytes | None = None
    movable: bool = False
    writes: bool = False
    stamp: Stamp | None = None

    def stamped(self, producer: str, new_id: Callable[[], str]) -> "Command[T]":
        """The command with its IDMP, if it takes one."""
        if self.stamp is None:
            return self
        at = self.stamp.position
        idmp = (b"IDMP", self.stamp.producer or word(producer), self.stamp.id or word(new_id()))
        return Command(self.name, self.words[:at] + idmp + self.words[at:], self.parse, self.key, self.movable, self.writes)


def command(name: str, words: Iterable[Value], parse: Callable[[Reply], T], *, key: Text | None = None, movable: bool = False,
            writes: bool = False, stamp: Stamp | None = None) -> Command[T]:
    """A command of these words."""
    return Command(name, tuple(map(word, words)), parse, None if key is None else word(key), movable, writes, stamp)


def option(name: str, value: Value | None) -> list[Value]:
    """An option and its value, or nothing."""
    return [] if value is None else [name, value]


def listed(name: str | None, items: Iterable[Value]) -> list[Value]:
    """How many there are and then all of them, behind the word `name` if there is one."""
    found = list(items)
    return [*([] if name is None else [name]), len(found), *found]


def first(keys: Iterable[Text]) -> Text:
    """The key that says which slot it is. Raises ValueError where there is none."""
    for key in keys:
        return key
    raise ValueError("give at least one key")


def ok(reply: Reply) -> None:
    reply.ok()


def changed(reply: Reply) -> bool:
    return reply.integer() == 1
