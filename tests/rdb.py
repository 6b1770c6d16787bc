"""What DUMP puts around a value, so that tests can change what is inside and still get past the server.

    byte type   7 = a module's value
    module id   9 bytes: 0x81 and 64 bits big-endian: 54 bits of type name, 10 bits of encoding version
    fields      each an opcode and a value, as the module saved them; the opcode 0 ends them
    version     2 bytes little-endian, the server's RDB version
    CRC-64      8 bytes little-endian, over all before it; the server refuses a payload in which it is wrong
"""

MODULE_VALUE = 7
HEADER = 10  # type and module id: what the server itself reads before it calls the module
FOOTER = 10

NAME_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)  # the Jones polynomial, bits reversed
        table.append(crc)
    return table


_TABLE = _table()


def crc64(data, crc=0):
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA  # the check value in Redis's own source


def body(dump):
    """A payload without version and checksum."""
    return dump[:-FOOTER]


def version(dump):
    return int.from_bytes(dump[-FOOTER:-8], "little")


def seal(body, version):
    """A payload with the given body that passes the server's own check."""
    head = bytes(body) + version.to_bytes(2, "little")
    return head + crc64(head).to_bytes(8, "little")


def type_id(name, encoding_version):
    """The 9 bytes by which a payload names a module type."""
    number = 0
    for letter in name:
        number = number << 6 | NAME_ALPHABET.index(letter)
    return b"\x81" + (number << 10 | encoding_version).to_bytes(8, "big")


def encoding_version(dump):
    return int.from_bytes(dump[2:HEADER], "big") & 0x3FF


def _number(data, at):
    """(number, place behind it, whether it stood for an encoding) as the server reads it: the high two bits of the first
    byte say how it is written. A number may be written in more than one way, and the server takes all of them."""
    first = data[at]
    kind = first >> 6
    if kind == 0:
        return first & 0x3F, at + 1, False
    if kind == 1:
        return (first & 0x3F) << 8 | data[at + 1], at + 2, False
    if kind == 3:
        return first & 0x3F, at + 1, True
    size = {0x80: 4, 0x81: 8}[first]
    return int.from_bytes(data[at + 1:at + 1 + size], "big"), at + 1 + size, False


def only_string(content):
    """The bytes of the string in content (what follows HEADER) if it is one string and the closing opcode, or None.
    What follows the closing opcode is not read by the server."""
    try:
        opcode, at, _ = _number(content, 0)
        length, at, encoded = _number(content, at)
        end, _, _ = _number(content, at + length)
    except (IndexError, KeyError):
        return None
    return bytes(content[at:at + length]) if (opcode, encoded, end) == (5, False, 0) else None
