"""Killing at every place: a client that ends with an exception before or after its n-th call, as a process would that is killed there."""


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
        if not callable(found) or name in ("from_url", "close"):
            return found
        if name == "pipeline":
            return lambda *args, **options: FragilePipeline(self, found(*args, **options))
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


class FragilePipeline:
    """A pipeline of such a client: sending it is one call."""

    def __init__(self, owner, pipeline):
        self._owner, self._pipeline = owner, pipeline

    def __len__(self):
        return len(self._pipeline)

    def execute_command(self, *args, **options):
        return self._pipeline.execute_command(*args, **options)

    def execute(self, *args, **options):
        return self._owner._call(self._pipeline.execute, *args, **options)
