"""Killing at every place: a client that ends with an exception before or after its n-th call, as a process would that is killed there."""

from redis import ResponseError


class Killed(BaseException):
    """The process is gone; nobody may catch this."""


class Fragile:
    """A client that carries out `calls` calls and is killed at the next: before it is sent, or when it has been and nobody reads the
    answer."""

    def __init__(self, client, calls, after):
        self._client, self._left, self._after = client, calls, after
        self.__class__ = type("Fragile", (Fragile, type(client)), {})

    def __getattribute__(self, name):
        get = object.__getattribute__
        if name.startswith("_"):
            return get(self, name)
        found = getattr(get(self, "_client"), name)
        if name == "connection_pool":
            return FragilePool(self, found)
        if not callable(found) or name in ("from_url", "close"):
            return found
        return lambda *args, **options: self._call(found, *args, **options)

    def _call(self, function, *args, **options):
        self._left -= 1
        if self._left == -1 and not self._after:
            raise Killed
        assert self._left >= -1, "somebody has caught it"
        try:
            return function(*args, **options)
        finally:
            if self._left == -1:
                raise Killed


class FragilePool:
    """The connections of such a client: sending commands and reading all of their answers is one call."""

    def __init__(self, owner, pool):
        self._owner, self._pool = owner, pool

    def get_connection(self):
        return FragileConnection(self._owner, self._pool.get_connection())

    def release(self, connection):
        self._pool.release(connection.real)


class FragileConnection:
    def __init__(self, owner, real):
        self._owner, self.real = owner, real
        self.retry, self.disconnect = real.retry, real.disconnect

    def send_packed_command(self, commands):
        self._owner._call(self._converse, commands)

    def _converse(self, commands):
        commands = list(commands)
        self.real.send_packed_command(commands)
        self._answers = []
        for _ in commands:
            try:
                self._answers.append(self.real.read_response(disable_decoding=True))
            except ResponseError as error:
                self._answers.append(error)

    def read_response(self, disable_decoding):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
