"""Reading replies, the same whatever protocol and decoding the client uses.

A reply with fields is a map in RESP3 and a flat list of names and values in RESP2; a double is a number in one and a text
in the other; a text is bytes, or str where the client decodes. `Reply` hides that. Names and values that are no UTF-8
survive by surrogateescape, as file names do in Python.

Fields that are not known are passed over, so a newer server does not break an older client. A strict reply raises instead:
the tests of this package read everything strictly, and so fail when the server has a field that the package lacks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from .errors import ReplyError
from .results import Interval
from .times import instant


def text(value: Any) -> str:
    """A text of a reply, or a number that the server sent as one."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True, slots=True)
class Reply:
    """One value that the server sent, and how strictly it is read."""

    value: Any
    strict: bool = False

    def text(self) -> str:
        """As text. Raises ReplyError for null, lists and maps."""
        if not isinstance(self.value, (bytes, str, int, float)):
            raise ReplyError(f"a text was expected, the server sent {self.value!r:.80}")
        return text(self.value)

    def integer(self) -> int:
        """As a whole number."""
        try:
            return int(self.value)
        except (TypeError, ValueError):
            raise ReplyError(f"a whole number was expected, the server sent {self.value!r:.80}") from None

    def number(self) -> float:
        """As a number."""
        try:
            return float(self.value)
        except (TypeError, ValueError):
            raise ReplyError(f"a number was expected, the server sent {self.value!r:.80}") from None

    def ok(self) -> None:
        """That it is OK."""
        if self.strict and text(self.value) not in ("OK", "True"):
            raise ReplyError(f"OK was expected, the server sent {self.value!r:.80}")

    def items(self) -> list["Reply"]:
        """As a list."""
        if not isinstance(self.value, (list, tuple)):
            raise ReplyError(f"a list was expected, the server sent {self.value!r:.80}")
        return [Reply(item, self.strict) for item in self.value]

    def fields(self) -> "Fields":
        """As fields with names."""
        return Fields(self)


class Fields:
    """The fields of a reply. Each is taken once; `end` then looks whether any was left."""

    def __init__(self, reply: Reply) -> None:
        value = reply.value
        if isinstance(value, dict):
            pairs = list(value.items())
        elif isinstance(value, (list, tuple)) and len(value) % 2 == 0:
            pairs = list(zip(value[::2], value[1::2], strict=True))
        else:
            raise ReplyError(f"fields were expected, the server sent {value!r:.80}")
        self._left = {text(name): found for name, found in pairs}
        self._strict = reply.strict

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._left))

    def take(self, name: str) -> Reply:
        """The field of this name. Raises ReplyError where the server sent none."""
        try:
            return Reply(self._left.pop(name), self._strict)
        except KeyError:
            raise ReplyError(f"the reply lacks the field {name}; it has: {', '.join(self._left)}") from None

    def text(self, name: str) -> str:
        return self.take(name).text()

    def optional_text(self, name: str) -> str | None:
        reply = self.take(name)
        return None if reply.value is None else reply.text()

    def integer(self, name: str) -> int:
        return self.take(name).integer()

    def optional_integer(self, name: str) -> int | None:
        reply = self.take(name)
        return None if reply.value is None else reply.integer()

    def number(self, name: str) -> float:
        return self.take(name).number()

    def optional(self, name: str) -> float | None:
        reply = self.take(name)
        return None if reply.value is None else reply.number()

    def whole(self, name: str) -> int | None:
        """A count that the server sends as a double."""
        value = self.optional(name)
        return None if value is None else round(value)

    def yes(self, name: str) -> bool:
        """yes or no."""
        return self.text(name) == "yes"

    def time(self, name: str, where: tzinfo) -> datetime:
        return instant(self.integer(name), where)

    def optional_time(self, name: str, where: tzinfo) -> datetime | None:
        value = self.optional_integer(name)
        return None if value is None else instant(value, where)

    def interval(self, name: str, bounds: str | None = None) -> Interval:
        """A figure and its bounds, `<name>_lower` and `<name>_upper` unless `bounds` says how they begin."""
        found = self.optional_interval(name, bounds)
        if found is None:
            raise ReplyError(f"the field {name} is null")
        return found

    def optional_interval(self, name: str, bounds: str | None = None) -> Interval | None:
        """The same; None where the figure is null. A bound that is null is none: minus or plus infinity."""
        begin = f"{name}_" if bounds is None else bounds
        value, lower, upper = self.optional(name), self.optional(f"{begin}lower"), self.optional(f"{begin}upper")
        if value is None:
            return None
        return Interval(value, float("-inf") if lower is None else lower, float("inf") if upper is None else upper)

    def end(self) -> None:
        """Nothing else is read. Raises ReplyError where fields are left and the reading is strict."""
        if self._strict and self._left:
            raise ReplyError(f"this package does not know the fields: {', '.join(self._left)}")
