"""The sketch computed a second time, from its definition and as plainly as possible: an oracle for the module.

It shares no code and no trick with the module: a register here is the set of levels seen, updates are set operations,
and the likelihood equation is solved by bisection.
"""

import math

from xxhash import xxh3_64_intdigest

INDEX_BITS = 26  # of a token


def hashes(items, seed=0):
    return [xxh3_64_intdigest(item if isinstance(item, bytes) else item.encode(), seed) for item in items]


def leading_zeros(h):
    return 64 - h.bit_length()


def token(h):
    low = (1 << INDEX_BITS) - 1
    return (h & low) << 6 | leading_zeros(h | low)


def tokens(items, seed=0):
    return {token(h) for h in hashes(items, seed)}


def sparse_count(c):
    """The expected number of elements behind c distinct tokens."""
    return c + c * c / (6 * 2 ** INDEX_BITS)


def level(h, p):
    return leading_zeros(h | (1 << p) - 1) + 1


def rho(k, p):
    """The probability that one element is of level k in one given register."""
    return 2.0 ** -(p + k) if k <= 64 - p else 2.0 ** -64


def tail(u, p):
    """The probability that one element is of a level above u in one given register."""
    return 2.0 ** -(p + u) if u <= 64 - p else 0.0


class Register:
    """The levels one register has seen, of which the sketch remembers the highest and the two below it."""

    __slots__ = ("top", "seen")

    def __init__(self):
        self.top, self.seen = 0, frozenset()

    def add(self, k):
        seen = self.seen | {k}
        self.top = max(seen)
        self.seen = frozenset(level for level in seen if level >= self.top - 2)

    def unseen_mass(self, p):
        """The probability that the next new element changes this register."""
        below = [k for k in (self.top - 1, self.top - 2) if k >= 1 and k not in self.seen]
        return tail(self.top, p) + sum(rho(k, p) for k in below)


class Dense:
    def __init__(self, p):
        self.p, self.registers = p, [Register() for _ in range(1 << p)]
        self.hip, self.unseen = 0.0, 1.0

    def add(self, h):
        register, k = self.registers[h & (1 << self.p) - 1], level(h, self.p)
        before = register.unseen_mass(self.p)
        register.add(k)
        change = before - register.unseen_mass(self.p)
        if change > 0:
            self.hip += 1 / self.unseen
            self.unseen -= change

    def ml(self):
        """The maximum-likelihood estimate, with its bias of order 1/m removed."""
        occupied = {}
        for register in self.registers:
            for k in register.seen:
                occupied[k] = occupied.get(k, 0) + 1
        unseen = math.fsum(register.unseen_mass(self.p) for register in self.registers)
        if not occupied:
            return 0.0

        def slope(n):
            return math.fsum(b * rho(k, self.p) / math.expm1(min(rho(k, self.p) * n, 700)) for k, b in occupied.items()) - unseen

        low, high = 1e-9, 2.0 ** 70
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if slope(middle) > 0 else (low, middle)
        return low / (1 + 0.48147 / (1 << self.p))


def dense(items, p, seed=0):
    sketch = Dense(p)
    for h in hashes(items, seed):
        sketch.add(h)
    return sketch


def added(items, p, seed=0):
    """The estimate of a sketch to which the items were added one after the other: (method, estimate)."""
    hs = hashes(items, seed)
    seen, limit = set(), (1 << p) // 4
    for i, h in enumerate(hs):
        seen.add(token(h))
        if len(seen) >= limit:
            sketch = Dense(p)
            for earlier in hs[:i + 1]:
                sketch.add(earlier)
            sketch.hip = len(seen)
            for later in hs[i + 1:]:
                sketch.add(later)
            return "hip", sketch.hip
    return "exact", float(round(sparse_count(len(seen))))
