"""What questions may cost: how the board stays a small part of what the server does, whatever is looked at.

The time of every answer is measured, from sending to the reply, which is no less than what the server takes for it, and more where
machine and network are busy with something else; so what counts is the shortest of the last five (`Cost`). A `Budget` is a
bucket that fills at `share` seconds a second and from which that time is taken; while it is empty nothing is asked. So that cheap
panels stay fresh beside expensive ones, each panel that is looked at has its part of the time, by its weight, and is asked again no
sooner than its answer costs, divided by that part: of fifteen panels, four of them cards with a weight of 4, and a share of 8 %, one that takes
0.3 ms each second, one that takes 14 ms every eight. (`FAIR` of the share is given out like this, the rest is for first answers.)

`Strain` watches what the board itself takes of a processor, and stretches all intervals while that is too much.
"""

import asyncio
import time
from collections import deque

FAIR = 0.6
LONGEST = 300.0
MOST_STRETCH = 8.0
MEASURE = 2.0


class Cost:
    """What something costs the server."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=5)

    def took(self, seconds: float) -> float:
        """Notes how long it took this time, and answers what it costs."""
        self._took.append(seconds)
        return self.seconds

    @property
    def seconds(self) -> float:
        """What it costs; 0 before it was ever asked."""
        return min(self._took, default=0.0)


class Budget:
    """Seconds of the server's time. It may be overdrawn by what was begun before, and is then empty for as long as that takes."""

    def __init__(self, share: float, burst: float) -> None:
        self.share, self.burst, self.spent = share, burst, 0.0
        self._level, self._at = burst, time.monotonic()

    def _fill(self) -> None:
        now = time.monotonic()
        self._level = min(self.burst, self._level + (now - self._at) * self.share)
        self._at = now

    def spend(self, seconds: float) -> None:
        """Takes what a command took."""
        self._fill()
        self._level -= seconds
        self.spent += seconds

    @property
    def is_open(self) -> bool:
        """Whether something may be asked."""
        self._fill()
        return self._level > 0

    async def wait(self, seconds: float) -> bool:
        """Waits so long at most until something may be asked, and says whether it may."""
        end = time.monotonic() + seconds
        while not self.is_open:
            left = end - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, max(0.01, -self._level / self.share)))
        return True


def interval(base: float, cost: float, part: float, stretch: float) -> float:
    """Seconds until a panel may be asked again: `base` at least, and so long that it keeps to its part of the server's time."""
    return min(LONGEST, max(base * stretch, cost / (part * FAIR)))


class Strain:
    """How much longer intervals are, because of what this process takes of a processor."""

    def __init__(self, most: float) -> None:
        self.most, self.stretch, self.used = most, 1.0, 0.0
        self._at, self._cpu = time.monotonic(), time.process_time()

    def measure(self) -> None:
        """Looks at the last two seconds, if they are over."""
        now, cpu = time.monotonic(), time.process_time()
        if now - self._at < MEASURE:
            return
        self.used = (cpu - self._cpu) / (now - self._at)
        self._at, self._cpu = now, cpu
        if self.used > self.most:
            self.stretch = min(MOST_STRETCH, self.stretch * min(2.0, self.used / self.most))
        elif self.used < self.most / 2:
            self.stretch = max(1.0, self.stretch / 1.1)
