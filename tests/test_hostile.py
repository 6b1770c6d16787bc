"""Bytes from outside are hostile until proven whole: RESTORE and IMPORT of damaged payloads.

RESTORE carries a checksum of the server, so mutations are sealed again with a right one: they reach the module's reader.
IMPORT carries a checksum of the module; it is tested both left wrong and made right. Each reply must be an error, unless
the bytes happen to be the original ones; the old value must stay; the server must live. The checked build turns an
arithmetic overflow in the reader into a panic, which would show as "internal error" in a reply: the fixtures and
`hammer` fail on that text.
"""

import math
import struct

import pytest

import rdb
from foreign import TYPES, apache
from helpers import ESTIMATE_FIELDS, KINDS, OURS, digest, elements, estimate, fields, make, refused, state
from reference import CHECKSUM_BYTES, SKETCH, body_of, checksum, frame
from resp import ReplyError
from servers import TROUBLE, DidNotStart

MUTATIONS = 10_000
BATCH = 500

# What is mutated: sparse has no compression to choose; hip and ml differ in what they store besides registers.
STATES = ["empty", "sparse", "hip-zstd", "hip-lz4", "hip-gzip", "hip-none", "ml-zstd", "ml-none"]
ENCODINGS = ["sparse", "hip-zstd", "hip-lz4", "hip-gzip", "hip-none"]


def prepare(server, name, precision=10):
    """A sketch `victim` in the wanted state, and the setting that stores it so."""
    kind, _, compression = name.partition("-")
    server.set("hll.rdb-compression", compression or "zstd")
    server.set("rdbcompression", "no")  # the server's own LZF would hide our bytes
    make(server.c, "victim", kind, precision)
    return server.c


# Mutations


def flip(data, rng):
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_several(data, rng):
    for _ in range(rng.randrange(2, 9)):
        flip(data, rng)


def overwrite(data, rng):
    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xFE, 0xFF, rng.randrange(256)))


def overwrite_run(data, rng):
    start = rng.randrange(len(data))
    size = min(rng.randrange(1, 17), len(data) - start)
    data[start:start + size] = bytes([rng.choice((0, 0xFF, rng.randrange(256)))]) * size


def truncate(data, rng):
    del data[rng.randrange(len(data)):]


def cut_out(data, rng):
    start = rng.randrange(len(data))
    del data[start:start + rng.randrange(1, 33)]


def insert(data, rng):
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.randrange(1, 33))


def extend(data, rng):
    data += rng.choice((bytes(rng.randrange(1, 65)), rng.randbytes(rng.randrange(1, 65)), bytes(data[:64])))


def repeat(data, rng):
    start = rng.randrange(len(data))
    piece = data[start:start + rng.randrange(1, 65)]
    data[start:start] = piece


def swap(data, rng):
    a, b = rng.randrange(len(data)), rng.randrange(len(data))
    data[a], data[b] = data[b], data[a]


def big_number(data, rng):
    at = rng.randrange(len(data))
    size = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, len(data), len(data) + 1)) % (1 << 8 * size)
    data[at:at + size] = value.to_bytes(size, rng.choice(("little", "big")))


OPERATORS = [flip, flip, flip, flip_several, overwrite, overwrite, overwrite_run, truncate, cut_out, insert, extend, repeat, swap, big_number]


def mutate(original, rng):
    data = bytearray(original)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if data:
            rng.choice(OPERATORS)(data, rng)
    return bytes(data)


def hammer(server, commands, allowed):
    """Send (command, payload) in batches. An error is right; a success only where allowed(payload) says so."""
    c, accepted = server.c, 0
    for start in range(0, len(commands), BATCH):
        batch = commands[start:start + BATCH]
        try:
            replies = c.pipe(command for command, _ in batch)
        except (ConnectionError, OSError) as broken:
            raise AssertionError(f"{server} broke the connection at mutation {start} to {start + BATCH}: {broken}")
        for (command, payload), reply in zip(batch, replies):
            if isinstance(reply, ReplyError):
                assert "internal error" not in reply.text, (reply.text, payload.hex())
            else:
                accepted += 1
                assert allowed(payload), f"{command[0]} accepted a damaged payload: {payload.hex()}"
        c.errors.clear()
    return accepted


# RESTORE


@pytest.mark.thorough
@pytest.mark.parametrize("name", ENCODINGS)
def test_restore_refuses_every_damaged_payload(both_builds, rng, name):
    server = both_builds
    c = prepare(server, name)
    payload = c("DUMP", "victim")
    before, counted = state(c, "victim"), c("HLL.COUNT", "victim")
    head, content, version = payload[:rdb.HEADER], rdb.body(payload)[rdb.HEADER:], rdb.version(payload)
    assert payload == rdb.seal(head + content, version)
    commands = []
    for _ in range(MUTATIONS):
        mutated = mutate(content, rng)
        commands.append((("RESTORE", "victim", 0, rdb.seal(head + mutated, version), "REPLACE"), mutated))

    # The frame is the server's: another way to write the same length, or garbage behind the value, is its to accept.
    ours = rdb.only_string(content)
    assert ours is not None
    hammer(server, commands, lambda mutated: rdb.only_string(mutated) == ours)
    assert (state(c, "victim"), c("HLL.COUNT", "victim")) == (before, counted)
    assert c("DUMP", "victim") == payload


@pytest.mark.parametrize("name", STATES)
def test_restore_refuses_every_truncation_and_every_single_bit(both_builds, name):
    """Not a sample: all of them, for a small sketch."""
    server = both_builds
    c = prepare(server, name, precision=6)
    payload = c("DUMP", "victim")
    head, content, version = payload[:rdb.HEADER], rdb.body(payload)[rdb.HEADER:], rdb.version(payload)
    before = state(c, "victim")
    mutations = [content[:i] for i in range(len(content))]
    for i in range(len(content) * 8):
        changed = bytearray(content)
        changed[i // 8] ^= 1 << i % 8
        mutations.append(bytes(changed))
    hammer(server, [(("RESTORE", "victim", 0, rdb.seal(head + m, version), "REPLACE"), m) for m in mutations], lambda m: False)
    assert state(c, "victim") == before


def test_restore_refuses_a_later_or_unknown_encoding_version(both_builds):
    c = prepare(both_builds, "hip-zstd")
    payload = c("DUMP", "victim")
    content, version, ours = rdb.body(payload)[rdb.HEADER:], rdb.version(payload), rdb.encoding_version(payload)
    assert payload[:rdb.HEADER] == bytes([rdb.MODULE_VALUE]) + rdb.type_id("HLLsketch", ours)
    for other in {*range(ours + 1, ours + 20), 255, 256, 512, 1023}:
        changed = bytes([rdb.MODULE_VALUE]) + rdb.type_id("HLLsketch", other) + content
        refused(c, "RESTORE", "new", 0, rdb.seal(changed, version), match="^ERR Bad data format")
        refused(c, "RESTORE", "victim", 0, rdb.seal(changed, version), "REPLACE", match="^ERR Bad data format")
    assert c("EXISTS", "new") == 0


def string(data):
    """A string field as a module saves it: opcode, length, bytes."""
    return b"\x05" + _length(len(data)) + data


def _length(n):
    if n < 64:
        return bytes([n])
    if n < 16384:
        return bytes([0x40 | n >> 8, n & 0xFF])
    return b"\x80" + n.to_bytes(4, "big") if n < 2**32 else b"\x81" + n.to_bytes(8, "big")


def test_restore_refuses_fields_that_are_not_ours(both_builds, rng):
    """Right framing, wrong fields: other types, other numbers of them, absurd lengths, nothing at all."""
    c = prepare(both_builds, "hip-zstd")
    payload = c("DUMP", "victim")
    head, version = payload[:rdb.HEADER], rdb.version(payload)
    exported = c("HLL.EXPORT", "victim")
    signed, unsigned, single, double = b"\x01", b"\x02", b"\x03", b"\x04"
    contents = [b"", b"\x00", string(b"") + b"\x00", string(b"") * 5 + b"\x00", string(b"\x00" * 10_000) + b"\x00"]
    for opcode in (signed, unsigned):
        for value in (0, 1, 13, 63, 64, 2**14, 2**32 - 1, 2**64 - 1):
            contents += [opcode + _length(value) + b"\x00", (opcode + _length(value)) * 8 + b"\x00", opcode + _length(value) + string(exported) + b"\x00"]
    for value in (b"\x00" * 8, b"\xff" * 8, b"\x00" * 6 + b"\xf0\x7f"):
        contents += [double + value + b"\x00", single + value[:4] + b"\x00"]
    for claimed in (2**14 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1):  # lengths far beyond what follows
        contents += [b"\x05" + _length(claimed) + exported, b"\x05\x81" + claimed.to_bytes(8, "big") + exported]
    for cut in (1, 8, len(exported) // 2):
        contents.append(string(exported[:-cut]) + b"\x00")
    contents += [string(exported + b"x") + b"\x00", string(rng.randbytes(5000)) + b"\x00", b"\x05\xc3\x01\x41\xff\x00\x00"]
    for content in contents:
        sealed = rdb.seal(head + content, version)
        refused(c, "RESTORE", "new", 0, sealed, match="^ERR ")
        refused(c, "RESTORE", "victim", 0, sealed, "REPLACE", match="^ERR ")
    assert c("EXISTS", "new") == 0
    assert c("DUMP", "victim") == payload


def test_restore_of_random_garbage(both_builds, rng):
    c = prepare(both_builds, "sparse")
    payload = c("DUMP", "victim")
    head, version = payload[:rdb.HEADER], rdb.version(payload)
    commands = []
    for _ in range(3000):
        garbage = bytes([rng.randrange(6)]) + rng.randbytes(rng.randrange(200))
        commands.append((("RESTORE", "new", 0, rdb.seal(head + garbage, version), "REPLACE"), garbage))
    hammer(both_builds, commands, lambda garbage: False)
    assert c("DBSIZE") == 1


def test_pieces_of_two_sketches_make_no_third(both_builds, rng):
    """The head of one payload with the tail of another, cut anywhere."""
    server, c = both_builds, both_builds.c
    prepare(server, "sparse")
    server.set("hll.rdb-compression", "none")
    for kind in KINDS:
        make(c, kind, kind, 9, prefix=kind)
    for compression in ("zstd", "gzip", "lz4"):
        c("CONFIG", "SET", "hll.rdb-compression", compression)
        payloads = [c("DUMP", kind) for kind in KINDS]
        head, version = payloads[0][:rdb.HEADER], rdb.version(payloads[0])
        contents = [rdb.body(p)[rdb.HEADER:] for p in payloads]
        ours = {rdb.only_string(content) for content in contents}
        assert None not in ours and len(ours) == len(KINDS)
        commands = []
        for _ in range(1500):
            a, b = rng.choice(contents), rng.choice(contents)
            spliced = a[:rng.randrange(len(a))] + b[rng.randrange(len(b)):]
            commands.append((("RESTORE", "victim", 0, rdb.seal(head + spliced, version), "REPLACE"), spliced))
        before = digest(c)
        accepted = hammer(server, commands, lambda s: rdb.only_string(s) in ours)
        assert accepted or digest(c) == before
        c("DEL", "victim")
        make(c, "victim", "sparse", 10)


# IMPORT


@pytest.mark.parametrize("tail", [["REPLACE"], ["MERGE"]], ids=["replace", "merge"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_import_refuses_every_damaged_payload(both_builds, rng, name, tail):
    server = both_builds
    c = prepare(server, name)
    payload = c("HLL.EXPORT", "victim")
    before = state(c, "victim")
    mutations = [mutate(payload, rng) for _ in range(MUTATIONS // 2)]
    hammer(server, [(("HLL.IMPORT", "victim", "FORMAT", "NATIVE", m, *tail), m) for m in mutations], lambda m: m == payload)
    assert state(c, "victim") == before
    assert c("HLL.EXPORT", "victim") == payload


@pytest.mark.parametrize("name", STATES)
def test_import_refuses_every_truncation_and_every_single_bit(both_builds, name):
    server = both_builds
    c = prepare(server, name, precision=6)
    payload = c("HLL.EXPORT", "victim")
    before = state(c, "victim")
    mutations = [payload[:i] for i in range(len(payload))]
    for i in range(len(payload) * 8):
        changed = bytearray(payload)
        changed[i // 8] ^= 1 << i % 8
        mutations.append(bytes(changed))
    mutations += [payload + b"\x00", payload + payload, b"\x00" + payload]
    hammer(server, [(("HLL.IMPORT", "victim", "FORMAT", "NATIVE", m, "REPLACE"), m) for m in mutations], lambda m: False)
    assert state(c, "victim") == before


def forge(payload, rng):
    """A frame with a right checksum, which is not what it was: mostly with another body, sometimes with other bytes
    where kind, version and length are."""
    if rng.random() < 0.75:
        return frame(SKETCH, mutate(body_of(payload, SKETCH), rng))
    return seal(mutate(payload[:-CHECKSUM_BYTES], rng))


def seal(content):
    """What stands before the checksum, with a right one."""
    return content + checksum(content)


@pytest.mark.parametrize("name", STATES)
def test_import_of_a_forged_payload_is_refused_or_a_sound_sketch(both_builds, rng, name):
    """With the checksum made right the reader has to understand the bytes. Some forgeries are sketches (another token,
    another register); those must count, merge, grow and store like any other."""
    server = both_builds
    c = prepare(server, name, precision=rng.choice((6, 8, 10)))
    payload = c("HLL.EXPORT", "victim")
    assert seal(payload[:-CHECKSUM_BYTES]) == frame(SKETCH, body_of(payload, SKETCH)) == payload
    before = state(c, "victim")
    accepted = 0
    for start in range(0, MUTATIONS // 2, BATCH):
        forged = [forge(payload, rng) for _ in range(BATCH)]
        replies = c.pipe(("HLL.IMPORT", f"f{i}", "FORMAT", "NATIVE", f) for i, f in enumerate(forged))
        for f, reply in zip(forged, replies):
            assert reply == "OK" or isinstance(reply, ReplyError) and reply.text.startswith("ERR HLL: "), (reply, f.hex())
            assert "internal error" not in str(reply), (reply, f.hex())
        for i, f in enumerate(forged):
            if replies[i] == "OK":
                accepted += 1
                assert_sound(c, f"f{i}", f.hex())
        c.pipe(("DEL", f"f{i}") for i in range(BATCH))
        c.errors.clear()
    print(f"{name}: {accepted} of {MUTATIONS // 2} forged payloads were sketches")
    assert state(c, "victim") == before


def assert_sound(c, key, label):
    replies = c.pipe([("HLL.COUNT", key), ("HLL.ESTIMATE", 1, key), ("HLL.INFO", key), ("DUMP", key), ("HLL.EXPORT", key), ("COPY", key, "twin", "REPLACE"),
                      ("HLL.ADD", "twin", *elements(0, 40, "twin")), ("HLL.COUNT", "twin"), ("HLL.MERGE", "twin", "victim"), ("HLL.COUNT", "twin"),
                      ("HLL.COUNT", key, "victim"), ("DEBUG", "DIGEST-VALUE", key)])
    errors = [r for r in replies if isinstance(r, ReplyError)]
    # Only a sketch of another hash or seed may refuse to be merged with the victim.
    assert all(e.text.startswith("ERR HLL: ") and ("seed" in e.text or "hash" in e.text) for e in errors), (errors, label)
    count, values, _, dumped, exported = replies[:5]
    assert type(count) is int and 0 <= count < 2**63, label
    e = fields(c, values, ESTIMATE_FIELDS)
    assert all(math.isfinite(e[name]) and e[name] >= 0 for name in ("estimate", "lower", "upper", "relative_error")), (e, label)
    assert e["lower"] <= e["estimate"] <= e["upper"], (e, label)
    assert replies[7] >= 0, label
    # What was accepted is stored whole: it comes back the same from both of its forms.
    again = c.pipe([("RESTORE", "twin", 0, dumped, "REPLACE"), ("HLL.EXPORT", "twin"), ("HLL.IMPORT", "twin", "FORMAT", "NATIVE", exported, "REPLACE"),
                    ("DUMP", "twin"), ("HLL.COUNT", "twin"), ("DEL", "twin")])
    assert again[0] == "OK" and again[1] == exported, label
    assert again[2] == "OK" and again[3] == dumped and again[4] == count, label


def test_import_of_forged_headers(both_builds, rng):
    """Each of the first 40 bytes in turn takes each of its 256 values, with a right checksum."""
    server = both_builds
    for name in ("empty", "sparse", "hip-zstd", "hip-none"):
        server.reset()
        c = prepare(server, name, precision=8)
        content = c("HLL.EXPORT", "victim")[:-CHECKSUM_BYTES]
        for at in range(min(40, len(content))):
            forged = [seal(content[:at] + bytes([value]) + content[at + 1:]) for value in range(256) if value != content[at]]
            replies = c.pipe(("HLL.IMPORT", f"f{i}", "FORMAT", "NATIVE", f) for i, f in enumerate(forged))
            for f, reply in zip(forged, replies):
                if reply != "OK":
                    assert reply.text.startswith("ERR HLL: ") and "internal error" not in reply.text, (reply.text, f.hex())
            accepted = [i for i, reply in enumerate(replies) if reply == "OK"]
            for i in accepted[:2] + rng.sample(accepted, min(6, len(accepted))):
                assert_sound(c, f"f{i}", forged[i].hex())
            c.pipe(("DEL", f"f{i}") for i in range(len(forged)))
            c.errors.clear()


def test_a_running_estimate_that_cannot_belong_to_its_registers_is_refused(both_builds):
    """An estimate is not believed just because it is written down. Each register in use has counted one element or more,
    so a smaller estimate never was; nor was one above the number of hashes. (What lies between cannot be told from the
    truth: elements chosen for their hashes lead a running estimate anywhere.)"""
    server = both_builds
    c = prepare(server, "hip-zstd")
    r = server.client(3)
    body, told = body_of(c("HLL.EXPORT", "victim"), SKETCH), estimate(r, "victim")["estimate"]
    stored = struct.pack("<d", told)
    assert body.count(stored) == 1
    # About 86 % of the registers are in use after twice as many elements as registers: some 885, and told / 4 is some 510.
    for lie in (0.0, -0.0, 5e-324, 1.0, told / 4, -1.0, -told, 2.0**65, 1e300, math.inf, -math.inf, math.nan):
        refused(c, "HLL.IMPORT", "new", "FORMAT", "NATIVE", frame(SKETCH, body.replace(stored, struct.pack("<d", lie))))
    # The variance is written down right behind it.
    at = body.index(stored) + 8
    for lie in (-1.0, -1e300, math.inf, -math.inf, math.nan):
        refused(c, "HLL.IMPORT", "new", "FORMAT", "NATIVE", frame(SKETCH, body[:at] + struct.pack("<d", lie) + body[at + 8:]))


def test_a_large_claim_in_a_small_payload_costs_no_memory(both_builds, rng):
    """No length is believed before it is checked: the peak of the server's memory stays near where it was."""
    server = both_builds
    c = prepare(server, "hip-zstd", precision=8)
    payload = c("HLL.EXPORT", "victim")
    c("DEL", "victim")
    # Where the server was, or had been with an earlier test.
    start = int(server.info(section="memory")["used_memory_peak"])
    commands = []
    for part, whole in ((body_of(payload, SKETCH), lambda body: frame(SKETCH, body)), (payload[:-CHECKSUM_BYTES], seal)):
        for at in range(len(part)):
            for size in (1, 2, 3, 4, 5, 8):
                for filler in (b"\xff", b"\xfd", b"\x7f"):
                    forged = whole(part[:at] + filler * size + part[at + size:])
                    commands.append((("HLL.IMPORT", "new", "FORMAT", "NATIVE", forged, "REPLACE"), forged))
    hammer(server, commands, lambda f: True)
    peak = int(server.info(section="memory")["used_memory_peak"])
    # A sketch of precision 18 is legal and takes 256 KiB; the commands of one batch wait in the server's query buffer.
    assert peak < start + 16 * 2**20


def test_a_big_sketch_damaged(both_builds, rng):
    """The same at the largest precision, with fewer mutations."""
    server = both_builds
    c = prepare(server, "hip-zstd", precision=18)
    payload = c("HLL.EXPORT", "victim")
    before = state(c, "victim")
    mutations = [mutate(payload, rng) for _ in range(100)]
    hammer(server, [(("HLL.IMPORT", "victim", "FORMAT", "NATIVE", m, "REPLACE"), m) for m in mutations], lambda m: m == payload)
    for _ in range(30):
        forged = forge(payload, rng)
        try:
            c("HLL.IMPORT", "f", "FORMAT", "NATIVE", forged)
        except ReplyError as error:
            assert error.text.startswith("ERR HLL: "), error.text
        else:
            assert_sound(c, "f", "big")
            c("DEL", "f")
    assert state(c, "victim") == before


def test_a_payload_of_a_foreign_kind_is_refused(both_builds):
    c = both_builds.c
    c("PFADD", "pf", *elements(0, 1000))
    c("SET", "s", "x")
    for payload in (c("GET", "pf"), c("DUMP", "pf"), c("DUMP", "s"), b"REDIS0011" + bytes(50)):
        refused(c, "HLL.IMPORT", "k", "FORMAT", "NATIVE", payload, match=OURS)
    make(c, "k", "hip", 8)
    refused(c, "HLL.IMPORT", "new", "FORMAT", "NATIVE", c("DUMP", "k"), match=OURS)


# Formats of other programs

FOREIGN = 2000  # mutations of each format on each server; scripts/fuzz tries a million of each without a server


def foreign_payloads(c):
    """Format -> sound payloads: PF values of both encodings, and Apache's sketches of all modes, types and serialisations.
    To the PF values belong the shapes of CVE-2025-32023: runs beyond 16,384 registers, in front, behind, and by far."""
    header, every = b"HYLL\x01" + bytes(11), b"\x7f\xff"
    values = [header + runs for runs in (every, every + b"\x00", every + b"\xff", b"\x80" + every, every * 17, b"\x7f\xfe\x81", b"\xff" * 5000,
                                         b"\x5f\xff\x84\x5f\xff", every * (2**32 // 2**14) + b"\x88")]
    for n in (1, 60, 3000):
        c("DEL", "made")
        c("PFADD", "made", *elements(0, n))
        values += [c("GET", "made")] * 3
    apaches = []
    for n in (0, 5, 20, 3000):
        for kind in TYPES:
            for lg_k in (4, 10):
                sketch = apache(elements(0, n), lg_k, kind)
                apaches += [sketch.serialize_compact(), sketch.serialize_updatable()]
    c("DEL", "made")
    return {"REDIS": values, "DATASKETCHES": apaches}


def damaged(payloads, rng):
    """Mostly small ones: the half megabyte that takes an index round 32 bits once in a while."""
    while True:
        payload = rng.choice(payloads)
        if len(payload) < 100_000 or rng.random() < 0.02:
            return mutate(payload, rng) if rng.random() < 0.95 else payload


def assert_answer(replies, label):
    for reply in replies:
        if isinstance(reply, ReplyError):
            assert reply.text.startswith(("ERR HLL: ", "WRONGTYPE")) and "internal error" not in reply.text, (reply.text, label)
        elif type(reply) is int:
            assert 0 <= reply < 2**63, label


def test_foreign_payloads_are_refused_or_sound_sketches(start, server_name, rng):
    server = start(server_name, build="checked")
    c = server.c
    c("PFADD", "good", *elements(0, 3000))
    for format, payloads in foreign_payloads(c).items():
        accepted = 0
        for begin in range(0, FOREIGN, BATCH):
            batch = [damaged(payloads, rng) for _ in range(BATCH)]
            replies = c.pipe(("HLL.IMPORT", f"f{i}", "FORMAT", format, payload) for i, payload in enumerate(batch))
            for i, (payload, reply) in enumerate(zip(batch, replies)):
                assert_answer([reply], payload.hex()[:2000])
                if reply == "OK":
                    accepted += 1
                    e = estimate(c, f"f{i}")
                    assert all(math.isfinite(e[name]) and e[name] >= 0 for name in ("estimate", "lower", "upper", "relative_error")), payload.hex()
                    exported = c("HLL.EXPORT", f"f{i}", "FORMAT", format)
                    assert c("HLL.IMPORT", "twin", "FORMAT", format, exported, "REPLACE") == "OK"
                    assert c("HLL.EXPORT", "twin", "FORMAT", format) == exported
                    assert_answer(c.pipe([("HLL.ADD", f"f{i}", "x"), ("HLL.MERGE", "twin", f"f{i}"), ("HLL.COUNT", "twin"), ("DUMP", f"f{i}")]), payload.hex())
            c.pipe(("DEL", f"f{i}") for i in range(BATCH))
            c.errors.clear()
        print(f"{format}: {accepted} of {FOREIGN} were sketches")
        assert accepted


def test_damaged_pf_keys_are_refused_or_sound_sets(start, server_name, rng):
    """Under a key, by SET, where nobody checks them before a command reads them."""
    server = start(server_name, build="checked")
    c = server.c
    c("PFADD", "good", *elements(0, 3000))
    payloads = foreign_payloads(c)["REDIS"]
    for begin in range(0, FOREIGN, BATCH):
        batch = [damaged(payloads, rng) for _ in range(BATCH)]
        c.pipe(("SET", f"s{i}", payload) for i, payload in enumerate(batch))
        for command in (("HLL.COUNT", "{}"), ("HLL.FUNNEL", 2, "good", "{}"), ("HLL.COUNT", "good", "{}"), ("HLL.INFO", "{}"), ("HLL.ADD", "{}", "x"),
                        ("HLL.MERGE", "new", "{}")):
            replies = c.pipe([word.replace("{}", f"s{i}") if isinstance(word, str) else word for word in command] for i in range(BATCH))
            for payload, reply in zip(batch, replies):
                assert_answer([reply], payload.hex()[:2000])
        assert c.pipe(("GET", f"s{i}") for i in range(BATCH)) == batch
        c.pipe(("DEL", f"s{i}") for i in range(BATCH))
        c.errors.clear()


# A damaged file


def test_a_damaged_snapshot_stops_the_start_and_says_why(start, newest, rng):
    """A server does not come up with half its data. The server's own checksum is off, so our reader meets the damage."""
    good = start(newest, {"rdbcompression": "no", "rdbchecksum": "no"})
    make(good.c, "k", "hip", 10)
    exported = good.c("HLL.EXPORT", "k")
    good.c("SAVE")
    good.stop()
    path = f"{good.directory}/dump.rdb"
    with open(path, "rb") as f:
        data = f.read()
    body = data.index(exported[len(exported) // 3: len(exported) * 2 // 3])
    for _ in range(4):
        damaged = bytearray(data)
        flip_at = body + rng.randrange(len(exported) // 4)
        damaged[flip_at] ^= 1 << rng.randrange(8)
        with open(path, "wb") as f:
            f.write(damaged)
        with pytest.raises(DidNotStart) as caught:
            start(newest, {"rdbchecksum": "no"}, snapshot=path)
        assert not TROUBLE.search(str(caught.value)), caught.value
