"""What `check` says of an installation that was really made, and then spoilt in one place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spank_container import render
from spank_container.doctor.slurm import judge_flags, judge_hook, judge_plugin, judge_plugstack, judge_setting
from spank_container.doctor.trust import changeable_by_others
from spank_container.install import InstallOptions
from spank_container.slurm.conf import SlurmConf, parse_show_config
from spank_container.slurm.release import SlurmRelease

RELEASE = SlurmRelease(24, 11)


@pytest.fixture
def options(tmp_path: Path) -> InstallOptions:
    """The paths as they are here, so that what is judged is really opened; below /tmp, which is sticky."""
    options = InstallOptions(prefix=tmp_path / "prefix", slurm_conf_dir=tmp_path / "slurm")
    plugin = options.prefix / "lib/slurm-24.11/spank_container.so"
    options.plugstack_file.parent.mkdir(parents=True)
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    options.plugstack_file.write_text(f"required {plugin} command=x\n")
    (options.slurm_conf_dir / "plugstack.conf").write_text("include plugstack.conf.d/*.conf\n")
    return options


def test_a_plugin_for_this_release(options: InstallOptions) -> None:
    assert judge_plugin(options, RELEASE).level == "ok"


def test_after_an_upgrade_of_slurm_the_plugin_is_missing(options: InstallOptions) -> None:
    finding = judge_plugin(options, SlurmRelease(26, 5))
    assert finding.level == "failure"
    assert finding.why.startswith("there is none for Slurm 26.05 [")
    assert finding.to_do == "spank-container install; again after each upgrade"


def test_a_release_that_is_not_known_is_said(options: InstallOptions) -> None:
    assert judge_plugin(options, None).level == "warning"


def test_a_plugin_that_others_can_write_fails(options: InstallOptions) -> None:
    (options.prefix / "lib").chmod(0o777)
    finding = judge_plugin(options, RELEASE)
    assert finding.level == "failure"
    assert "has mode 0777" in finding.why


def test_plugstack_is_right(options: InstallOptions) -> None:
    assert judge_plugstack(options, None).level == "ok"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("include", "it does not include ours, so there is no --image"),
        ("file", "No such file or directory"),
        ("plugin", "the plugin that it names is not there"),
    ],
)
def test_plugstack_is_wrong(options: InstallOptions, spoil: str, why: str) -> None:
    match spoil:
        case "include":
            (options.slurm_conf_dir / "plugstack.conf").write_text("")
        case "file":
            options.plugstack_file.unlink()
        case _:
            (options.prefix / "lib/slurm-24.11/spank_container.so").unlink()
    finding = judge_plugstack(options, None)
    assert finding.level == "failure"
    assert finding.why.startswith(why)


def hook(folder: Path, text: str = "#!/bin/sh\nexec /bin/sh -I\n", mode: int = 0o755) -> Path:
    script = folder / "50-spank-container"
    script.write_text(text)
    script.chmod(mode)
    return script


@pytest.mark.parametrize("name", ["prolog", "epilog"])
def test_our_own_hook_is_right(tmp_path: Path, name: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to("/bin/sh")
    finding = judge_hook(name, hook(tmp_path, render.hook(name, Path("/opt/spank-container"), tmp_path)))
    assert (finding.level, finding.why) == ("ok", str(tmp_path / "50-spank-container"))


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("#!/bin/sh\nexec /bin/sh\n", 0o644, "it cannot be executed, and Slurm drains the node"),
        ("#!/bin/sh\nexec /nonexistent/python3 -I\n", 0o755, "the Python that it starts is not there"),
        ("#!/bin/sh\n", 0o755, "the Python that it starts is not there"),
        ("#!/bin/sh\nexec /bin/sh\n", 0o757, "root runs "),
    ],
)
def test_a_hook_is_wrong(tmp_path: Path, text: str, mode: int, why: str) -> None:
    finding = judge_hook("Prolog", hook(tmp_path, text, mode))
    assert finding.level == "failure"
    assert finding.why.startswith(why)


def test_no_hook_at_all(tmp_path: Path) -> None:
    assert judge_hook("Prolog", tmp_path / "none").to_do == "spank-container install"


def test_a_file_of_another_users_is_not_roots(tmp_path: Path) -> None:
    script = hook(tmp_path)
    assert changeable_by_others(script) == ""
    os.chown(tmp_path, 1000, 1000)
    assert changeable_by_others(script) == f"{tmp_path} belongs to uid 1000"


def conf(text: str) -> SlurmConf:
    return parse_show_config(text)


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("Alloc,Contain,DeferBatch", "ok"),
        ("Alloc,Contain,DeferBatch,X11", "ok"),
        ("Alloc", "warning"),
        ("Contain", "warning"),
        ("DeferBatch", "failure"),
        ("(null)", "failure"),
    ],
)
def test_prolog_flags(flags: str, level: str) -> None:
    assert judge_flags(conf(f"PrologFlags             = {flags}\n")).level == level


def test_missing_flags_are_named() -> None:
    finding = judge_flags(conf("PrologFlags = Alloc,X11\n"))
    assert finding.why == "Contain,DeferBatch is not among alloc,x11"
    assert finding.to_do == "add Contain,DeferBatch to PrologFlags in slurm.conf, then restart slurmctld and slurmd"


@pytest.mark.parametrize(
    "text", ["Prolog = /etc/slurm/prolog.d/*\n", "Prolog[0] = /x\nProlog[1] = /etc/slurm/prolog.d/*\n"]
)
def test_a_prolog_that_slurm_calls(text: str) -> None:
    assert judge_setting("Prolog", conf(text), InstallOptions()).level == "ok"


@pytest.mark.parametrize("text", ["Prolog = (null)\n", "Prolog = /etc/slurm/prolog.sh\n"])
def test_a_prolog_that_slurm_does_not_call(text: str) -> None:
    finding = judge_setting("Prolog", conf(text), InstallOptions())
    assert (finding.level, finding.why) == ("failure", "Slurm does not call ours")
    assert "Prolog=/etc/slurm/prolog.d/*" in finding.to_do


def test_what_slurm_does_not_say_is_not_guessed() -> None:
    assert judge_setting("Prolog", None, InstallOptions()).level == "warning"
    assert judge_flags(None).level == "warning"
