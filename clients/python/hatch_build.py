"""Builds into the wheel what the board's page takes from others (build_static.py). An installation that points back into the
source tree (pip install -e) does without: build_static.py is for those."""

import os
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BoardHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before the wheel is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        if os.environ.get("REDIS_HLL_WITHOUT_BOARD") == "1":
            self.app.display_warning("REDIS_HLL_WITHOUT_BOARD=1: this wheel has no chart library, so `redis-hll board` has no page")
            return
        sys.path.insert(0, self.root)
        try:
            import build_static
        finally:
            sys.path.remove(self.root)
        build_static.build()
        build_data["artifacts"].append("src/redis_hll/board/static/vendor/*")
