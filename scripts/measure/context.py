"""What every part of the measurement is given: which server to start, how thorough to be, and a progress line."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from local_server import Server, ServerError
from tqdm import tqdm

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Context:
    """`server` is a name of scripts/servers. `quick` asks for small sizes: to try the program, not to learn from."""

    server: str
    rounds: int
    quick: bool
    seed: int

    @property
    def programs(self) -> tuple[Path, Path]:
        """Of the server, and the module it loads."""
        return ROOT / "target" / "servers" / self.server, ROOT / "target" / "release" / "libredis_hll.so"

    def start(self, options: Mapping[str, str] | None = None) -> Server:
        """The server with the module, to be used in a `with`. Both sides are measured with it loaded."""
        binary, module = self.programs
        for path in (binary, module):
            if not path.exists():
                raise ServerError(f"there is no {path.relative_to(ROOT)}; scripts/servers and scripts/build make them")
        return Server(str(binary), ROOT / "redis.conf", module, options=options)

    def progress(self, steps: Iterable[T], label: str) -> Iterable[T]:
        """A bar on a terminal; elsewhere one line, so that a log shows what is being done."""
        title = f"      {self.server}: {label}"
        if not sys.stderr.isatty():
            print(title, flush=True)
        return tqdm(steps, desc=title, leave=False, disable=not sys.stderr.isatty())
