"""The shared object as a site gets it: what it shows, how it is linked, and that its source keeps to the rules."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from plugin.slurm_player import HERE, PLUGIN, SOURCES, WARNINGS

EXPORTED = {
    "plugin_name",
    "plugin_type",
    "plugin_version",
    "slurm_spank_init",
    "slurm_spank_init_post_opt",
    "slurm_spank_task_init_privileged",
    "slurm_spank_task_init",
    "slurm_spank_exit",
}
LINK = [f"-Wl,--version-script={PLUGIN}/exports.map", "-Wl,-z,now", "-Wl,-z,relro"]
# The stub, this machine's Slurm, and the roots of the sandbox, one for each release.
CACHE = Path(os.environ.get("SPANK_CONTAINER_CACHE", "/var/cache/spank-container-dev"))
ROOTS = [Path("/"), *(root for root in sorted(CACHE.glob("root-*")) if root.suffix != ".unfinished")]
REAL = [root / "usr/include/slurm" for root in ROOTS if (root / "usr/include/slurm/spank.h").exists()]
STUB = HERE / "stub/slurm"


def include(slurm: Path, folder: Path) -> str:
    """The headers in `slurm` alone: beside them stand those of another release's glibc."""
    folder.mkdir()
    (folder / "slurm").symlink_to(slurm)
    return f"-I{folder}"


def compiled(slurm: Path, folder: Path) -> Path:
    result = folder / "spank_container.so"
    headers = include(slurm, folder / "include")
    command = ["gcc", *WARNINGS, "-O2", "-fPIC", "-shared", "-fvisibility=hidden", headers, *LINK]
    done = subprocess.run([*command, "-o", result, *SOURCES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return result


def printed(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("slurm", [STUB, *REAL], ids=str)
def test_it_shows_only_what_slurm_looks_up(slurm: Path, tmp_path: Path) -> None:
    """sbatch exports a global named `opt`: a visible one of the plugin's would silently be replaced by it."""
    table = printed("nm", "--dynamic", "--defined-only", compiled(slurm, tmp_path))
    assert {line.split()[-1] for line in table.splitlines()} == EXPORTED


def test_it_needs_only_glibc(tmp_path: Path) -> None:
    dynamic = printed("readelf", "--dynamic", "--wide", compiled(STUB, tmp_path))
    assert re.findall(r"Shared library: \[(.*?)\]", dynamic) == ["libc.so.6"]


def test_nothing_of_it_can_be_written_once_it_is_loaded(tmp_path: Path) -> None:
    shared = compiled(STUB, tmp_path)
    assert re.search(r"FLAGS.*\bNOW\b", printed("readelf", "--dynamic", "--wide", shared))
    segments = printed("readelf", "--segments", "--wide", shared)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW ", segments)


def test_it_can_be_read_in_one_sitting() -> None:
    assert all(len(path.read_text().splitlines()) <= 250 for path in PLUGIN.iterdir())
    assert sum(len(path.read_text().splitlines()) for path in PLUGIN.iterdir()) <= 900


def test_a_task_enters_in_one_place() -> None:
    assert sum(path.read_text().count("setns(ns") for path in SOURCES) == 1


@pytest.mark.parametrize("slurm", REAL, ids=str)
def test_the_stub_tells_the_truth(slurm: Path, tmp_path: Path) -> None:
    """Its numbers and its functions are those of the real header."""
    stub = (STUB / "spank.h").read_text()
    names = re.findall(r"\b(?:S|ESPANK)_[A-Z_]+\b", stub)
    functions = re.findall(r"^\w+ ((?:spank_\w+|slurm_error)\(.*\))", stub, re.MULTILINE)
    assert names
    assert len(functions) == 9
    lines = "".join(f'    printf("{name} %d\\n", (int){name});\n' for name in names)
    source = tmp_path / "numbers.c"
    source.write_text(f"#include <stdio.h>\n#include <slurm/spank.h>\nint main(void)\n{{\n{lines}}}\n")
    answers = []
    for number, folder in enumerate((STUB, slurm)):
        program = tmp_path / f"numbers{number}"
        subprocess.run(["gcc", include(folder, tmp_path / f"include{number}"), "-o", program, source], check=True)
        answers.append(printed(program))
    assert answers[0] == answers[1]
    real = re.sub(r"\s+", " ", (slurm / "spank.h").read_text().replace(" (", "("))
    for function in functions:
        if function.startswith("spank_prepend_task_argv") and "spank_prepend" not in real:
            continue  # before 23.11
        assert function.replace(") __attribute__((format(printf, 1, 2))", "") in real
