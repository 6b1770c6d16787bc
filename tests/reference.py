"""The sketch computed a second time, from its definition and as plainly as possible: an oracle for the module.

It shares no code and no trick with the module: a register here is the set of levels seen, updates are set operations,
and the likelihood equation is solved by bisection. The second half reads the stored format, from what docs/format.md
says and nothing else.
"""

import ctypes
import ctypes.util
import gzip
import math
import struct
from dataclasses import dataclass

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

    def stored(self):
        """The byte in which the register is stored."""
        return self.top << 2 | (self.top - 1 in self.seen) << 1 | (self.top - 2 in self.seen)

    def unseen_mass(self, p, history=True):
        """The probability that the next new element changes this register. Without history the levels below are unknown,
        and so not known to be unseen."""
        below = [k for k in (self.top - 1, self.top - 2) if k >= 1 and k not in self.seen] if history else []
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

    def ml(self, history=True):
        """The maximum-likelihood estimate, with its bias of order 1/m removed. Without history the registers know their highest
        levels only."""
        occupied = {}
        for register in self.registers:
            for k in register.seen:
                occupied[k] = occupied.get(k, 0) + 1
        unseen = math.fsum(register.unseen_mass(self.p, history) for register in self.registers)
        if not occupied:
            return 0.0

        def slope(n):
            return math.fsum(b * rho(k, self.p) / math.expm1(min(rho(k, self.p) * n, 700)) for k, b in occupied.items()) - unseen

        low, high = 1e-9, 2.0 ** 70
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if slope(middle) > 0 else (low, middle)
        return low / (1 + (0.48147 if history else 1.0) / (1 << self.p))


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


# The stored format

SKETCH, CHANGES = 1, 2  # kinds of frames
VERSION = 1
CHECKSUM_BYTES = 4

FAMILIES = ["xxh3", "redis", "datasketches"]
CODINGS = ["none", "zstd", "lz4", "gzip"]
ORIGINS = ["added", "merged", "plain"]
MAX_ZEROS = 64 - INDEX_BITS


class NotStored(ValueError):
    """The bytes are not what they should be; the text says in what."""


def expect(condition, what):
    if not condition:
        raise NotStored(what)


class Bytes:
    """Takes fields off the front of bytes."""

    def __init__(self, data):
        self.rest = bytes(data)

    def take(self, n):
        expect(n <= len(self.rest), "cut off")
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def u8(self):
        return self.take(1)[0]

    def varint(self, bits, shortest=False):
        first = self.u8()
        if first <= 250:
            return first
        expect(first <= 253, "varint")
        size = 2 << first - 251
        expect(8 * size <= bits, "varint")
        value = int.from_bytes(self.take(size), "little")
        expect(not shortest or value > [250, 2**16 - 1, 2**32 - 1][first - 251], "varint")
        return value

    def f64(self):
        return struct.unpack("<d", self.take(8))[0]


def checksum(data):
    return (xxh3_64_intdigest(data) & 0xFFFFFFFF).to_bytes(CHECKSUM_BYTES, "little")


def varint(value):
    if value <= 250:
        return bytes([value])
    for first, size in ((251, 2), (252, 4), (253, 8)):
        if value < 1 << 8 * size:
            return bytes([first]) + value.to_bytes(size, "little")
    raise ValueError(value)


def frame(kind, body, version=VERSION, length=None):
    """A frame, whatever its body; with a length that lies if one is given. The checksum is always right."""
    content = bytes([kind, version]) + varint(len(body) if length is None else length) + bytes(body)
    return content + checksum(content)


def split_frame(data):
    """(kind, version, body, what follows) of the first frame."""
    fields = Bytes(data)
    kind, version = fields.u8(), fields.u8()
    body = fields.take(fields.varint(64, shortest=True))
    content = data[:len(data) - len(fields.rest)]
    expect(fields.take(CHECKSUM_BYTES) == checksum(content), "checksum")
    return kind, version, body, fields.rest


def body_of(data, kind):
    """The body of the frame that the bytes are, which must be of this kind."""
    found, version, body, rest = split_frame(data)
    expect((found, version, rest) == (kind, VERSION, b""), "another kind or version, or more than one frame")
    return body


@dataclass
class Stored:
    """What is written of a sketch: tokens, or registers with their origin and the running estimate, if it has one."""
    precision: int
    family: str
    seed: int
    tokens: list = None
    registers: bytes = None
    coding: str = None
    origin: str = None
    estimate: float = None

    def count(self):
        """See "Checking a reader with counts"."""
        if self.registers is None:
            return round(sparse_count(len(self.tokens)))
        if self.origin == "added":
            return round(self.estimate)
        sketch = Dense(self.precision)
        for register, byte in zip(sketch.registers, self.registers):
            register.top = byte >> 2
            register.seen = {u for u, seen in ((byte >> 2, byte >> 2), (register.top - 1, byte & 2), (register.top - 2, byte & 1)) if seen}
        return round(sketch.ml(history=self.origin != "plain"))


def read_sketch(payload):
    fields = Bytes(body_of(payload, SKETCH))
    p, family = fields.u8(), fields.varint(32)
    expect(4 <= p <= 18, "precision")
    expect(family < len(FAMILIES), "hash family")
    sketch = Stored(p, FAMILIES[family], fields.varint(64) if family == 0 else 0)
    form = fields.varint(32)
    expect(form in (0, 1), "form")
    if form == 0:
        sketch.tokens = read_tokens(fields.varint(32), fields.u8(), fields.rest, p)
        return sketch
    coding, origin = fields.varint(32), fields.varint(32)
    expect(coding < len(CODINGS) and origin < len(ORIGINS), "coding or origin")
    sketch.coding, sketch.origin = CODINGS[coding], ORIGINS[origin]
    variance = 0.0
    if sketch.origin == "added":
        sketch.estimate, variance = fields.f64(), fields.f64()
    m = 1 << p
    expect((len(fields.rest) == m) if coding == 0 else (len(fields.rest) < m), "size of the registers")
    sketch.registers = DECODERS[sketch.coding](fields.rest, m)
    expect(len(sketch.registers) == m, "number of registers")
    for byte in sketch.registers:
        u, two = byte >> 2, byte & 3
        expect(u <= 65 - p and (two == 0 or u >= 2 and sketch.origin != "plain") and (two & 1 == 0 or u >= 3), "register")
    if sketch.origin == "added":
        used, full = m - sketch.registers.count(0), sketch.registers.count(65 - p << 2 | 3)
        expect(0 < used and full < m and used <= sketch.estimate <= 2**64 and 0 <= variance < math.inf, "estimate")
    return sketch


def read_tokens(count, k, data, p):
    expect(count < (1 << p) / 4 and k <= INDEX_BITS and count * (k + 2) <= 8 * len(data), "count or rice")
    bits = iter(byte >> i & 1 for byte in data for i in range(8))

    def bit():
        try:
            return next(bits)
        except StopIteration:
            raise NotStored("tokens are cut off") from None

    def unary():
        n = 0
        while bit():
            n += 1
        return n

    tokens, index = [], 0
    for _ in range(count):
        gap = unary() << k
        gap += sum(bit() << i for i in range(k))
        index += gap
        zeros = unary()
        expect(index < 1 << INDEX_BITS and zeros <= MAX_ZEROS, "token")
        tokens.append(index << 6 | zeros)
    expect(all(a < b for a, b in zip(tokens, tokens[1:])), "order of tokens")
    left = list(bits)
    expect(len(left) < 8 and not any(left), "bits behind the last token")
    return tokens


def read_changes(content):
    body = body_of(content, CHANGES)
    expect(len(body) % 4 == 0 and body, "number of changes")
    tokens = [int.from_bytes(body[i:i + 4], "little") for i in range(0, len(body), 4)]
    expect(all(t & 63 <= MAX_ZEROS for t in tokens), "token")
    return tokens


def changes(tokens):
    return frame(CHANGES, b"".join(t.to_bytes(4, "little") for t in tokens))


def _zstd(data, size):
    """By the system's library, which Python 3.11 does not offer."""
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(size)
    written = library.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    expect(written <= size, "Zstandard")  # an error is a number near 2^64
    return out.raw[:written]


def _gzip(data, size):
    return gzip.decompress(data)


def _lz4_planes(data, size):
    planes = lz4_block(data)
    expect(len(planes) == size, "number of planes")
    plane = size // 8
    return bytes(sum((planes[b * plane + i // 8] >> i % 8 & 1) << b for b in range(8)) for i in range(size))


def lz4_block(data):
    """https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md"""
    fields, out = Bytes(data), bytearray()

    def extended(n):
        if n == 15:
            more = 255
            while more == 255:
                more = fields.u8()
                n += more
        return n

    while fields.rest:
        sizes = fields.u8()
        out += fields.take(extended(sizes >> 4))
        if not fields.rest:
            break
        offset = int.from_bytes(fields.take(2), "little")
        expect(0 < offset <= len(out), "LZ4")
        for _ in range(extended(sizes & 15) + 4):
            out.append(out[-offset])
    return bytes(out)


DECODERS = {"none": lambda data, size: data, "zstd": _zstd, "lz4": _lz4_planes, "gzip": _gzip}
