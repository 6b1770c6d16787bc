#!/usr/bin/env python3
"""Takes the pictures of the board of a made-up shop (tests/shop.py) on a server of its own: docs/board-top.png, what README.md shows
of it, and docs/board.png, all of it.

    target/venv-client/bin/python clients/python/screenshot.py            both
    ... screenshot.py --out pictures --all                                every width and theme, into a directory

Needs target/servers, a built module, Chromium, and what build_static.py brings. The picture has 256 colours, which nobody sees
and which makes it a third as large.
"""

import argparse
import io
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE / "src"), str(HERE / "tests"), str(ROOT / "tests")]

import boards  # noqa: E402 (the paths come first)
import browsers  # noqa: E402
import redis  # noqa: E402
import servers  # noqa: E402
import shop  # noqa: E402
from PIL import Image  # noqa: E402
from redis_hll import HLL  # noqa: E402

MOST_BYTES = 300_000
WIDTHS = (390, 820, 1440)
HEIGHT = 822  # down to the charts
CONFIG = shop.BOARD + """[board.cubes.labels]
view = "Looked"
cart = "Cart"
checkout = "Checkout"
buy = "Bought"
"""


def picture(page, path, whole=True):
    """The page, or what a window shows of it, as a PNG of 256 colours."""
    image = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {image.width} by {image.height}, {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"{path} has more than {MOST_BYTES:,} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="valkey-9.1", help="of target/servers")
    parser.add_argument("--module", default=str(ROOT / "target" / "release" / "libredis_hll.so"))
    parser.add_argument("--visits", type=int, default=4200, help="a day, 62 days long")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where to")
    parser.add_argument("--all", action="store_true", help="every width and theme instead")
    given = parser.parse_args()
    server = servers.Server(given.server, str(ROOT / "target" / "servers" / given.server), str(Path(given.module).resolve())).start()
    try:
        with ExitStack() as opened:
            directory = opened.enter_context(tempfile.TemporaryDirectory())
            chromium = opened.enter_context(browsers.browser())
            hll = HLL(redis.Redis(port=server.port))
            shop.fill(hll.cube("shop"), days=62, visits=given.visits, now=int(time.time() * 1000))
            # Three sketches, and an alert: an exact count of buyers that says something else.
            for day in ("mon", "tue", "wed"):
                hll.add_many(f"visitors:{day}", (f"{day}-{user}" for user in range(5000)))
            bought = round(hll.cube("shop").query(last="7d", where={"step": "buy"}).rows[0].unique.estimate)
            hll.monitor("hll:accuracy").track(cube="shop", last="7d", where={"step": "buy"}, exact=round(0.94 * bought), context="buyers of the week")
            config = Path(directory) / "board.toml"
            config.write_text(CONFIG, encoding="utf-8")
            given.out.mkdir(parents=True, exist_ok=True)
            board = opened.enter_context(boards.Board(f"redis://127.0.0.1:{server.port}", "--config", config))
            for theme in ("light", "dark") if given.all else ("light",):
                for width in WIDTHS if given.all else (1440,):
                    page = chromium.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=theme)
                    page.goto(board.address)
                    page.wait_for_selector(".funnel tbody tr")
                    page.wait_for_selector("#chart-visitors canvas")
                    browsers.until(page, "!document.querySelector('.blanks')")
                    page.wait_for_timeout(1000)
                    if given.all:
                        picture(page, given.out / f"{width}-{theme}.png")
                    else:
                        picture(page, given.out / "board-top.png", whole=False)
                        picture(page, given.out / "board.png")
                    page.close()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
