"""The site's file: every mistake at once, each with its key; and the compiled form that hooks read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spank_container
from spank_container import log
from spank_container.errors import SiteError
from spank_container.planning import site_config
from spank_container.site_config import (
    ContainerConfig,
    EnvironmentConfig,
    ImagesConfig,
    ScratchConfig,
    SiteConfig,
    VolumesConfig,
    compile_config,
    load_config,
    read_compiled,
    stamp,
)
from spank_container.state import StateDirectory

ROOT = Path(spank_container.__file__).parents[1]
EVERYTHING = """
[images]
store = "/shared/images"
[scratch]
path = "/local"
max_size = "1.5T"
filesystems = ["ext4"]
overcommit = true
[container]
tmp = "private"
tmp_size = "100%"
shm_size = "8G"
writable = true
writable_size = "20G"
allow_root = true
name_service_timeout = 3
[volumes]
allow = ["/scratch", "/projects"]
deny = ["/scratch/secret"]
read_only = ["/datasets"]
mounts = ["/sw:ro", "/lustre/scratch:/scratch", "/etc/munge:optional"]
[environment]
set = ["SITE=here", "EMPTY="]
prepend = ["PATH=/sw/bin"]
append = ["MANPATH=/sw/man=x"]
unset = ["DISPLAY"]
"""


def load(tmp_path: Path, text: str) -> SiteConfig:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SiteError) as caught:
        load(tmp_path, text)
    first, *listed, last = caught.value.report().split("\n")
    assert first == f"the configuration is wrong [{tmp_path}/config.toml]"
    assert last == "hint: spank-container check"
    assert all(line.startswith("    ") for line in listed)
    return [line[4:] for line in listed]


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none") == SiteConfig()
    assert load(tmp_path, "") == SiteConfig()


def test_the_defaults_are_a_file_that_passes(tmp_path: Path) -> None:
    tables = json.loads(compile_config(SiteConfig(), []))["config"]
    text = "".join(
        f"[{table}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in members.items())
        for table, members in tables.items()
    )
    assert load(tmp_path, text) == SiteConfig()


def test_every_setting(tmp_path: Path) -> None:
    assert load(tmp_path, EVERYTHING) == SiteConfig(
        ImagesConfig("/shared/images"),
        ScratchConfig("/local", "1.5T", ("ext4",), overcommit=True),
        ContainerConfig("private", "100%", "8G", True, "20G", True, 3),
        VolumesConfig(
            ("/scratch", "/projects"),
            ("/scratch/secret",),
            ("/datasets",),
            ("/sw:ro", "/lustre/scratch:/scratch", "/etc/munge:optional"),
        ),
        EnvironmentConfig(("SITE=here", "EMPTY="), ("PATH=/sw/bin",), ("MANPATH=/sw/man=x",), ("DISPLAY",)),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("imagse = 1", ["imagse: there is no such setting"]),
        ('[images]\nstroe = "/x"', ["images.stroe: there is no such setting"]),
        ("images = 1", ["images: this is no table"]),
        ('[images]\nstore = ""', ["images.store: '' is wrong: the path is not absolute"]),
        ('[images]\nstore = "here"', ["images.store: 'here' is wrong: the path is not absolute"]),
        ('[images]\nstore = "/a/../b"', ["images.store: '/a/../b' is wrong: the path has a .. in it"]),
        (
            '[images]\nstore = "/a\\u0000"',
            ["images.store: '/a\\x00' is wrong: the path holds an unprintable character"],
        ),
        ("[images]\nstore = 1979-05-27", ["images.store: Input should be a valid string"]),
        (
            '[images]\narchitecture = "x86_64"',
            ["images.architecture: 'x86_64' is no architecture such as amd64 or arm64"],
        ),
        ("[images]\ncompression_level = 23", ["images.compression_level: 23 is no level of zstd, 1 to 22"]),
        (
            '[images]\nblock_size = "100K"',
            ["images.block_size: '100K' is none of 4K, 8K, 16K, 32K, 64K, 128K, 256K, 512K, 1M"],
        ),
        ('[scratch]\npath = "~"', ["scratch.path: '~' is wrong: nothing replaces the ~ here"]),
        ('[scratch]\nmax_size = "much"', ["scratch.max_size: 'much' is not a size"]),
        ('[scratch]\nmax_size = "50%"', ["scratch.max_size: '50%' is not a size"]),
        ("[scratch]\nmax_size = 5", ["scratch.max_size: Input should be a valid string"]),
        ('[scratch]\nfilesystems = "xfs"', ["scratch.filesystems: Input should be a valid array"]),
        (
            '[scratch]\nfilesystems = ["xfs", "zfs"]',
            ["scratch.filesystems[1]: 'zfs' is no file system that a cache can have"],
        ),
        ('[scratch]\novercommit = "yes"', ["scratch.overcommit: Input should be a valid boolean"]),
        ("[scratch]\novercommit = 1", ["scratch.overcommit: Input should be a valid boolean"]),
        ('[container]\ntmp_size = ""', ["container.tmp_size: '' is not a size"]),
        ('[container]\nshm_size = "0%"', ["container.shm_size: '0%' is not a size"]),
        ('[container]\nshm_size = "101%"', ["container.shm_size: '101%' is not a size"]),
        ('[container]\nshm_size = "1\\uFF15%"', ["container.shm_size: '1\\uff15%' is not a size"]),
        (f'[container]\nshm_size = "{"9" * 30}%"', [f"container.shm_size: '{'9' * 30}%' is not a size"]),
        ('[container]\nwritable_size = "all"', ["container.writable_size: 'all' is not a size"]),
        ('[container]\nwritable = "5G"', ["container.writable: Input should be a valid boolean"]),
        ('[container]\ntmp = "/tmp"', ["container.tmp: '/tmp' is none of private, host, tmpfs"]),
        ('[container]\ntmp = ""', ["container.tmp: '' is none of private, host, tmpfs"]),
        ("[container]\nname_service_timeout = 0", ["container.name_service_timeout: 0 is not from 1 to 60 seconds"]),
        ("[container]\nname_service_timeout = 61", ["container.name_service_timeout: 61 is not from 1 to 60 seconds"]),
        (
            "[container]\nname_service_timeout = true",
            ["container.name_service_timeout: Input should be a valid integer"],
        ),
        (
            "[container]\nname_service_timeout = 1.0",
            ["container.name_service_timeout: Input should be a valid integer"],
        ),
        ('[volumes]\nallow = "/scratch"', ["volumes.allow: Input should be a valid array"]),
        ('[volumes]\nallow = ["/a", "b"]', ["volumes.allow[1]: 'b' is wrong: the path is not absolute"]),
        ('[volumes]\ndeny = ["/a/../b"]', ["volumes.deny[0]: '/a/../b' is wrong: the path has a .. in it"]),
        (
            '[volumes]\nread_only = ["/s/$USER"]',
            ["volumes.read_only[0]: '/s/$USER' is wrong: nothing replaces $USER here"],
        ),
        ('[volumes]\nread_only = [""]', ["volumes.read_only[0]: '' is wrong: the path is not absolute"]),
        (
            '[volumes]\nmounts = ["/a", "/b:rec"]',
            ["volumes.mounts[1]: '/b:rec' is wrong: there is no such flag; ro, rw, optional are known"],
        ),
        (
            '[volumes]\nmounts = ["/a", "/b:/a/:ro", "/c"]',
            ["volumes.mounts[1]: '/b:/a/:ro' has the same target as volumes.mounts[0]"],
        ),
        ('[environment]\nset = ["A"]', ["environment.set[0]: 'A' is not NAME=VALUE"]),
        ('[environment]\nset = ["=A"]', ["environment.set[0]: '=A' has a name that no variable can have"]),
        (
            '[environment]\nprepend = ["A B=1"]',
            ["environment.prepend[0]: 'A B=1' has a name that no variable can have"],
        ),
        (
            '[environment]\nappend = ["A=\\u0000"]',
            ["environment.append[0]: 'A=\\x00' has a value that no variable can have"],
        ),
        ('[environment]\nunset = ["A=1"]', ["environment.unset[0]: 'A=1' has a name that no variable can have"]),
        (
            '[environment]\nset = ["SLURM_JOB_ID=1"]',
            ["environment.set[0]: 'SLURM_JOB_ID=1' is not the site's to change: Slurm tells a task with it what it is"],
        ),
        (
            '[environment]\nunset = ["PMIX_RANK"]',
            [
                "environment.unset[0]: 'PMIX_RANK' is not the site's to change: the start of MPI tells a task with it where its peers are"
            ],
        ),
        ("[container]\nallow_root = nan", ["container.allow_root: Input should be a valid boolean"]),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, found: list[str]) -> None:
    assert [line.encode("ascii", "backslashreplace").decode() for line in mistakes(tmp_path, text)] == found


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = """
    [images]
    store = "here"
    [scratch]
    max_size = 5
    path = "there"
    filesystems = ["xfs", 1, "zfs", "btrfs"]
    speed = "high"
    [container]
    tmp_size = "50"
    shm_size = "big"
    [sraccht]
    """
    assert sorted(mistakes(tmp_path, text)) == [
        "container.shm_size: 'big' is not a size",
        "images.store: 'here' is wrong: the path is not absolute",
        "scratch.filesystems[1]: Input should be a valid string",
        "scratch.filesystems[2]: 'zfs' is no file system that a cache can have",
        "scratch.filesystems[3]: 'btrfs' is no file system that a cache can have",
        "scratch.max_size: Input should be a valid string",
        "scratch.path: 'there' is wrong: the path is not absolute",
        "scratch.speed: there is no such setting",
        "sraccht: there is no such setting",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"store = ", "Invalid value (at end of document)"),
        (b"a = 1\na = 2", "Cannot overwrite a value (at end of document)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"a = " + b"[" * 5000, "maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_toml(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(SiteError) as caught:
        load_config(path)
    report = caught.value.report()
    assert report.startswith(f"reading the configuration: {why}")
    assert report.endswith(f" [{path}]\nhint: spank-container check")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SiteError) as caught:
        load_config(tmp_path)
    assert caught.value.report() == (
        f"reading the configuration: Is a directory [{tmp_path}]\nhint: spank-container check"
    )


def test_the_file_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes('[images]\nstore = "/é"\n'.encode())
    program = (
        "import sys, pathlib; from spank_container.site_config import load_config; "
        "print(ascii(load_config(pathlib.Path(sys.argv[1])).images.store))"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", program, str(path)],
        env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "'/\\xe9'\n"


def test_the_compiled_form_round_trips(tmp_path: Path) -> None:
    config = load(tmp_path, EVERYTHING)
    assert read_compiled(compile_config(config, [1, 2])) == (config, [1, 2])
    assert read_compiled(compile_config(SiteConfig(), [])) == (SiteConfig(), [])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"version": 0}', '{"version": "1"}'])
def test_what_another_version_compiled_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what lifecycle catches
        read_compiled(text)


def test_the_hooks_do_not_import_pydantic() -> None:
    program = (
        "import sys; from spank_container.site_config import SiteConfig, compile_config, read_compiled; "
        "read_compiled(compile_config(SiteConfig(), [])); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_stamp_tells_one_state_of_the_file_from_another(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("a")
    first = stamp(path.stat())
    assert stamp(path.stat()) == first
    other = tmp_path / "other"
    other.write_text("a")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert stamp(path.stat()) != first
    assert stamp(None) == [] != first


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDirectory:
    """A node's, with the log beside it."""
    monkeypatch.setattr(log, "LOG_FILE", tmp_path / "log")
    (tmp_path / "run").mkdir()
    return StateDirectory(tmp_path / "run")


def test_hooks_compile_the_file_once_after_each_change(tmp_path: Path, state: StateDirectory) -> None:
    path = tmp_path / "config.toml"
    assert site_config(state, path) == SiteConfig()
    path.write_text('[images]\nstore = "/a"\n')
    assert site_config(state, path).images.store == "/a"
    compiled = state.path / "config.json"
    compiled.write_text(compiled.read_text().replace('"/a"', '"/compiled"'))
    assert site_config(state, path).images.store == "/compiled"
    path.unlink()
    assert site_config(state, path) == SiteConfig()


@pytest.mark.parametrize("compiled", ["", "[]", "{", '{"version": 1}', '{"version": 1, "config": {"images": {}}}'])
def test_a_compiled_form_that_is_not_ours_is_made_anew(tmp_path: Path, state: StateDirectory, compiled: str) -> None:
    (state.path / "config.json").write_text(compiled)
    assert site_config(state, tmp_path / "none") == SiteConfig()


def test_a_broken_edit_keeps_the_last_good_form_and_says_so(tmp_path: Path, state: StateDirectory) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[images]\nstore = "/a"\n')
    site_config(state, path)
    path.write_text('[images]\nstore = "a"\n')
    assert site_config(state, path).images.store == "/a"
    assert "images.store: 'a' is wrong: the path is not absolute" in (tmp_path / "log").read_text()


def test_a_broken_file_with_no_good_form_is_the_sites_fault(tmp_path: Path, state: StateDirectory) -> None:
    path = tmp_path / "config.toml"
    path.write_text("x")
    with pytest.raises(SiteError, match="reading the configuration"):
        site_config(state, path)
