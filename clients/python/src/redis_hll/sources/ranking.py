"""Which values of a field occur most often, counted in bounded memory while a file goes by."""

from collections import Counter
from collections.abc import Iterable

CAPACITY = 200_000  # values of some 20 characters are about 25 MB


class Frequent:
    """How often values occur.

    Exact while there are fewer than `capacity` different ones. When there are as many, the counts of all are lowered by the middle
    one of them, and those that fall to nothing are forgotten (Misra and Gries, in batches). So a count is never too high, and too low
    by at most 2 / `capacity` of everything that was counted: what is frequent stays.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.counts: Counter[str] = Counter()

    def add(self, value: str) -> None:
        """Counts a value once more."""
        self.counts[value] += 1
        if len(self.counts) >= self.capacity:
            middle = sorted(self.counts.values())[len(self.counts) // 2]
            self.counts = Counter({value: count - middle for value, count in self.counts.items() if count > middle})

    def most(self, number: int) -> list[str]:
        """The most frequent first; of equally frequent ones those that were met first."""
        return [value for value, _ in self.counts.most_common(number)]

    def kept(self, number: int, named: Iterable[str] = ()) -> set[str]:
        """The values that are named, however rare they are, and the `number` most frequent others."""
        wanted = set(named)
        others = [value for value in self.most(number + len(wanted)) if value not in wanted]
        return {*wanted, *others[:number]}
