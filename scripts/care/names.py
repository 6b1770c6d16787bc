"""Names of keys with a date in them, as people who keep one sketch for each day have them.

A pattern is the name with the date as strftime writes it, and `*` for whatever else varies:

    visitors:*:%Y-%m-%d      visitors:shop:2026-03-02, visitors:{blog}:2026-03-02, ...
    visitors:*:%G-W%V        visitors:shop:2026-W10 (ISO weeks: %G is the year that a week belongs to)
    visitors:*:%Y-%m         visitors:shop:2026-03

Braces are themselves, so that hash tags of a cluster can stand in a pattern.
"""

import argparse
import re
from dataclasses import dataclass
from datetime import date, timedelta

DIGITS = {"Y": 4, "m": 2, "d": 2, "j": 3, "G": 4, "V": 2}
# Directives that together say a day, the most exact first.
READINGS = ("Ymd", "Yj", "GV", "Ym", "Y", "")
PIECE = re.compile(r"%(.?)|(\*)|([^%*]+)", re.S)


class BadPattern(argparse.ArgumentTypeError):
    """The text is no pattern; it says why."""


@dataclass(frozen=True)
class Stretch:
    """The days from first to last that a name stands for, and what its stars were."""

    first: date
    last: date
    rest: tuple[bytes, ...]


class Pattern:
    def __init__(self, source: str) -> None:
        """Raises BadPattern for directives other than those of DIGITS, or for some that do not make a date together."""
        self.source = source
        self.stars = 0
        names: list[str] = []
        glob, expression = "", ""
        self._format: list[str | None] = []  # for strftime; None is a star
        for directive, star, literal in PIECE.findall(source):
            if star:
                self.stars += 1
                glob += "*"
                expression += "(.*?)"
                self._format.append(None)
            elif literal or directive == "%":
                plain = literal or "%"
                glob += re.sub(r"([\\\[\]?])", r"\\\1", plain)
                expression += re.escape(plain)
                self._format.append(plain.replace("%", "%%"))
            elif directive in DIGITS:
                glob += "[0-9]" * DIGITS[directive]
                expression += rf"(?P={directive})" if directive in names else rf"(?P<{directive}>[0-9]{{{DIGITS[directive]}}})"
                names += [directive]
                self._format.append(f"%{directive}")
            else:
                raise BadPattern(f"'{source}' has %{directive}; the parts of a date are {' '.join('%' + d for d in DIGITS)}, and %% is a %")
        reading = next((reading for reading in READINGS if set(reading) == set(names)), None)
        if reading is None:
            raise BadPattern(f"'{source}' does not say a date; use %Y-%m-%d, %G-W%V (weeks), %Y-%m (months) or %Y")
        self._reading = reading
        self.dated = bool(names)
        self.glob = glob.encode("utf-8", "surrogateescape")
        self._expression = re.compile(expression.encode("utf-8", "surrogateescape"), re.S)

    def read(self, name: bytes) -> Stretch | None:
        """What the name stands for, or None where it does not fit the pattern or has no such date."""
        found = self._expression.fullmatch(name)
        if not found or not self.dated:
            return None
        numbers = {directive: int(digits) for directive, digits in found.groupdict().items()}
        try:
            first = self._first(numbers)
        except ValueError:  # 31 February, week 60
            return None
        rest = tuple(group for at, group in enumerate(found.groups(), 1)
                     if at not in self._expression.groupindex.values())
        if self.write(first, rest) != name:
            return None
        return Stretch(first, self.last(first), rest)

    def _first(self, numbers: dict[str, int]) -> date:
        match self._reading:
            case "GV":
                return date.fromisocalendar(numbers["G"], numbers["V"], 1)
            case "Yj":
                if numbers["j"] == 0:
                    raise ValueError("days of a year begin at 1")
                return date(numbers["Y"], 1, 1) + timedelta(numbers["j"] - 1)
            case _:
                return date(numbers["Y"], numbers.get("m", 1), numbers.get("d", 1))

    def last(self, day: date) -> date:
        """The last day that has the same date in names as this one."""
        said = self._date(day)
        while self._date(day + timedelta(1)) == said:
            day += timedelta(1)
        return day

    def write(self, day: date, rest: tuple[bytes, ...]) -> bytes:
        """The name of the key that a day belongs to, with these in place of the stars."""
        stars = iter(rest)
        return b"".join(next(stars) if piece is None else day.strftime(piece).encode("utf-8", "surrogateescape")
                        for piece in self._format)

    def _date(self, day: date) -> list[str]:
        return [day.strftime(piece) for piece in self._format if piece is not None]

    def fits(self, name: bytes) -> bool:
        """Whether the name could be one of the pattern, whether or not its date is one of the calendar."""
        return self._expression.fullmatch(name) is not None
