from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from spank_container.doctor.state import check_configuration, check_state, check_store, judge_jobs, judge_state
from spank_container.site_config import SiteConfig

if TYPE_CHECKING:
    from pathlib import Path


def test_no_configuration_means_the_defaults(tmp_path: Path) -> None:
    config, (finding,) = check_configuration(tmp_path / "config.toml")
    assert config == SiteConfig()
    assert finding.level == "ok"


def test_a_broken_configuration_lists_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[images]\nstore = "here"\n[scratch]\nmax_size = "many"\n')
    config, (finding,) = check_configuration(path)
    assert config == SiteConfig()
    assert finding.level == "failure"
    assert "images.store: 'here' is wrong: the path is not absolute" in finding.why
    assert "scratch.max_size: 'many' is not a size" in finding.why
    assert "nodes go on with the last good form" in finding.why
    assert finding.to_do == f"correct {path}"


def test_a_configuration_that_others_can_write_fails(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    path.chmod(0o666)
    _, (finding,) = check_configuration(path)
    assert finding.level == "failure"
    assert finding.why.startswith(f"root believes {path}, but {path} has mode 0666")


@pytest.mark.parametrize(
    ("files", "why"),
    [([], "0 images"), (["a.json", "a.squashfs"], "1 image"), (["a.json", "b.json", ".c.json"], "2 images")],
)
def test_a_store_is_counted(tmp_path: Path, files: list[str], why: str) -> None:
    (tmp_path / "images").mkdir()
    for name in files:
        (tmp_path / "images" / name).touch()
    (finding,) = check_store(tmp_path)
    assert (finding.level, finding.why) == ("ok", f"{why} [{tmp_path}]")


def test_a_store_that_is_not_there_or_not_safe(tmp_path: Path) -> None:
    (finding,) = check_store(tmp_path / "gone")
    assert (finding.level, finding.why) == ("warning", f"there is none yet [{tmp_path / 'gone'}]")
    (tmp_path / "images").mkdir()
    (tmp_path / "images").chmod(0o777)
    (finding,) = check_store(tmp_path)
    assert finding.to_do == f"chmod go-w {tmp_path / 'images'}"


def mountinfo(target: Path, tags: str) -> str:
    return f"35 24 0:30 / {target} rw,relatime {tags}- tmpfs tmpfs rw,mode=700\n"


def test_a_state_directory_as_it_must_be(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert judge_state(tmp_path, tmp_path.stat(), mountinfo(tmp_path, "")).level == "ok"


@pytest.mark.parametrize(
    ("mode", "tags", "level", "why"),
    [
        (0o755, "", "failure", "uid 0 and mode 0755, not root's and 0700"),
        (0o700, "shared:7 ", "failure", "its mounts propagate"),
        (0o700, "master:3 shared:7 ", "failure", "its mounts propagate"),
        (0o700, None, "warning", "nothing is mounted there"),
    ],
)
def test_a_state_directory_that_is_wrong(tmp_path: Path, mode: int, tags: str | None, level: str, why: str) -> None:
    tmp_path.chmod(mode)
    mounts = "" if tags is None else mountinfo(tmp_path, tags)
    finding = judge_state(tmp_path, tmp_path.stat(), mounts)
    assert finding.level == level
    assert finding.why.startswith(why)


def test_a_node_without_jobs_since_boot(tmp_path: Path) -> None:
    (finding,) = check_state(tmp_path / "none")
    assert finding.level == "ok"


def test_left_overs_are_counted_and_the_sweep_named() -> None:
    finding = judge_jobs({1, 2, 3}, frozenset({2}))
    assert (finding.level, finding.why, finding.to_do) == (
        "warning",
        "2 ended and left something: 1, 3",
        "spank-container sweep",
    )
    assert judge_jobs({2}, frozenset({2, 9})).level == "ok"
    assert judge_jobs(set(range(20)), frozenset()).why.endswith("8, 9, ...")


def test_when_slurm_is_silent_no_job_is_called_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/nonexistent")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    tmp_path.chmod(0o700)
    (tmp_path / "jobs/12").mkdir(parents=True)
    found = [one for one in check_state(tmp_path) if one.what == "jobs on this node"]
    assert [one.level for one in found] == ["warning"]
    assert os.geteuid() != 0 or "whether they live is not known" in found[0].why
