"""The wheel in a fresh environment, and what its README shows."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "clients" / "python"


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.S | re.M)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory),
                    str(PACKAGE)], check=True)
    return next(directory.glob("redis_hll-*.whl"))


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
        metadata = next(archive.read(name).decode() for name in names if name.endswith("METADATA"))
    assert "redis_hll/py.typed" in names and "redis-hll = redis_hll.cli.main:main" in entry_points
    sources = {str(path.relative_to(PACKAGE / "src")) for path in (PACKAGE / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert sources == {name for name in names if not name.startswith("redis_hll-")}
    assert re.findall(r"^Requires-Dist: (.+)$", metadata, re.M)[0] == "redis>=5.0.8" and "License-Expression: BSD-3-Clause" in metadata
    assert len([line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]) == 1


def test_a_fresh_environment_does_what_the_readme_shows(wheel, one_server, tmp_path):
    """Five commands of the README, and its program, by the wheel with its dependencies and nothing else."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    f"redis-hll[cli] @ {wheel.as_uri()}"], check=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "shop.csv").write_text(blocks("csv")[0], encoding="utf-8")
    around = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "REDIS_HLL_URL": f"redis://127.0.0.1:{one_server.port}"}
    around.pop("PYTHONPATH", None)
    shown = [(block.split("\n", 1)[0], block.split("\n", 1)[1]) for block in re.split(r"^\$ ", blocks("console")[0], flags=re.M) if block]
    assert len(shown) == 5
    for command, printed in shown:
        done = subprocess.run(["sh", "-c", command], cwd=work, env=around, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert [line.rstrip() for line in done.stdout.splitlines()] == [line.rstrip() for line in printed.splitlines()], command
    program = blocks("python")[0].replace("redis.Redis()", f"redis.Redis(port={one_server.port})")
    done = subprocess.run([str(environment / "bin" / "python"), "-c", program], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"1\d\d,\d00 \(± [\d,]+\) True|9\d,\d00 \(± [\d,]+\) True", first) and rest == ["desktop 1 2", "mobile 3 5"]
