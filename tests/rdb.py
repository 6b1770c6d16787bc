"""The frame that DUMP puts around a value, so that tests can change what is inside and still get past the server.

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
