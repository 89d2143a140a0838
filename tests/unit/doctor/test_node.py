from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spank_container.doctor.node import (
    check_kernel,
    check_support,
    check_tools,
    judge_filesystem,
    judge_kernel,
    judge_loop,
    judge_program,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("release", ["5.14.0-362.el9.x86_64", "6.1.0-21-amd64", "10.0"])
def test_a_kernel_that_is_new_enough(release: str) -> None:
    assert judge_kernel(release).level == "ok"


@pytest.mark.parametrize("release", ["5.13.19", "4.18.0-553.el8", "strange"])
def test_a_kernel_that_is_too_old(release: str) -> None:
    finding = judge_kernel(release)
    assert (finding.level, finding.to_do) == ("failure", "update it")
    assert finding.why == f"{release} is older than 5.14, the oldest that is supported"


@pytest.mark.parametrize(
    ("present", "module", "needed", "level"),
    [
        (["nodev", "squashfs"], False, True, "ok"),
        ([], True, True, "ok"),
        ([], False, True, "failure"),
        ([], False, False, "warning"),
        ([], None, True, "warning"),
    ],
)
def test_a_filesystem_is_there_can_come_or_is_missing(
    *,
    present: list[str],
    module: bool | None,
    needed: bool,
    level: str,
) -> None:
    assert judge_filesystem("squashfs", present, lambda _: module, needed=needed).level == level


@pytest.mark.parametrize(
    ("device", "module", "level"), [(True, False, "ok"), (False, True, "warning"), (False, False, "failure")]
)
def test_loop_devices(*, device: bool, module: bool, level: str) -> None:
    assert judge_loop(has_device=device, has_module=lambda _: module).level == level


def test_a_missing_program_names_its_package() -> None:
    finding = judge_program("mkfs.xfs", None, "makes things", "xfsprogs")
    assert (finding.level, finding.why, finding.to_do) == ("warning", "not here; it makes things", "install xfsprogs")


def test_what_containers_are_given(tmp_path: Path) -> None:
    program = tmp_path / "bin/shifter"
    (missing,) = check_support(tmp_path)
    assert (missing.level, missing.to_do) == ("failure", "spank-container install")
    assert missing.why == f"it is not here, and no container can be built [{program}]"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o777)
    (changeable,) = check_support(tmp_path)
    assert changeable.level == "failure"
    assert changeable.why.startswith(f"every container has {program}, but ")


def test_this_machine_is_looked_at() -> None:
    """The kernel tests need all of this, so here it is known to be there."""
    found = {one.what: one.level for one in (*check_kernel(["xfs"]), *check_tools(["ext4"]))}
    assert found["kernel: overlay"] == "ok"
    assert found["program: mkfs.ext4"] == "ok"
    assert "kernel: ext4" not in found
