"""A small RESP2/RESP3 client.

Client libraries decode, rename and hide things: redis-py drops the `ERR ` of an error text, turns maps of known
commands into objects and speaks the protocol version it prefers. These tests are about the exact reply, so they read
it themselves. What each wire type becomes:

    + simple string   Simple (a str)        $ = bulk, verbatim   bytes
    : integer         int                   , double             float
    * > array, push   list                  % map                dict, in the order sent
    ~ set             list                  _ null, $-1, *-1     None
    # boolean         bool                  ( big number         int
    - ! error         ReplyError: raised by call(), returned in place by pipe()
"""

import socket


class Simple(str):
    """A simple string, as opposed to a bulk string."""


class ReplyError(Exception):
    """An error reply, with its text exactly as sent."""

    @property
    def text(self):
        return self.args[0]


def encode(args):
    """One command as a RESP array of bulk strings. Numbers are written as Python prints them."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        if not isinstance(arg, (bytes, bytearray)):
            arg = str(arg).encode()
        parts.append(b"$%d\r\n" % len(arg))
        parts.append(arg)
        parts.append(b"\r\n")
    return b"".join(parts)


class Client:
    """One connection. `c("HLL.ADD", key, element)` is c.call(...)."""

    PIPE_BYTES = 1 << 20

    def __init__(self, port, protocol=2, host="127.0.0.1", timeout=60):
        self.port, self.protocol = port, protocol
        self.errors = []  # every error text ever received, for checks after the test
        self.pushes = []  # out-of-band messages of RESP3
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", buffering=1 << 16)
        if protocol != 2:
            self.call("HELLO", protocol)

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Sending and receiving

    def send(self, *args):
        self.sock.sendall(encode(args))

    def read(self):
        """The next reply; pushes are put aside."""
        while True:
            reply, is_push = self._read()
            if not is_push:
                return reply
            self.pushes.append(reply)

    def read_push(self):
        """The next out-of-band message (RESP3) or subscription message (RESP2)."""
        if self.pushes:
            return self.pushes.pop(0)
        return self._read()[0]

    def call(self, *args):
        self.send(*args)
        reply = self.read()
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    __call__ = call

    def pipe(self, commands):
        """Send many commands, read as many replies; errors stay in the list as ReplyError values."""
        replies, chunk, size, pending = [], [], 0, 0
        for command in commands:
            data = encode(command)
            chunk.append(data)
            size += len(data)
            pending += 1
            if size >= self.PIPE_BYTES or pending >= 1000:
                self.sock.sendall(b"".join(chunk))
                replies.extend(self.read() for _ in range(pending))
                chunk, size, pending = [], 0, 0
        if pending:
            self.sock.sendall(b"".join(chunk))
            replies.extend(self.read() for _ in range(pending))
        return replies

    # Parsing

    def _line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"the server on port {self.port} closed the connection")
        return line[:1], line[1:-2]

    def _bulk(self, length):
        data = self.file.read(length + 2)
        if len(data) != length + 2:
            raise ConnectionError(f"the server on port {self.port} closed the connection")
        return data[:-2]

    def _value(self):
        return self._read()[0]

    def _read(self):
        """(value, whether it is a push)."""
        kind, rest = self._line()
        if kind == b"$":
            return (None if rest == b"-1" else self._bulk(int(rest))), False
        if kind == b":":
            return int(rest), False
        if kind == b"+":
            return Simple(rest.decode()), False
        if kind in (b"-", b"!"):
            text = (rest if kind == b"-" else self._bulk(int(rest))).decode(errors="replace")
            self.errors.append(text)
            return ReplyError(text), False
        if kind in (b"*", b"~", b">"):
            values = None if rest == b"-1" else [self._value() for _ in range(int(rest))]
            return values, kind == b">"
        if kind == b"%":
            pairs = [(self._value(), self._value()) for _ in range(int(rest))]
            fields = {key: value for key, value in pairs}
            assert len(fields) == len(pairs), f"a map repeats a field: {pairs}"
            return fields, False
        if kind == b",":
            return float(rest), False
        if kind == b"_":
            return None, False
        if kind == b"#":
            return rest == b"t", False
        if kind == b"(":
            return int(rest), False
        if kind == b"=":
            return self._bulk(int(rest))[4:], False
        if kind == b"|":
            for _ in range(2 * int(rest)):
                self._value()
            return self._read()
        raise ConnectionError(f"not RESP: {kind + rest!r}")
