"""`spank-container install` for real, compiler and all, into the tree of a node image."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spank_container.errors import NodeError, SiteError, UserError
from spank_container.install import InstallOptions, SharedFile, install, uninstall
from spank_container.install.compile import compile_plugin, compile_shifter
from spank_container.install.facts import check_same_release, check_venv
from spank_container.slurm.release import SlurmRelease, release_of_headers

REAL_INCLUDE = Path("/usr/include")
CONFIG = Path("etc/spank-container/config.toml")
VENV = sys.prefix.removeprefix("/")


@pytest.fixture
def options(tmp_path: Path) -> InstallOptions:
    """A node image with Slurm's headers and an empty /etc."""
    assert (REAL_INCLUDE / "slurm/spank.h").exists(), "apt-get install libslurm-dev"
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/include").symlink_to(REAL_INCLUDE)
    (tmp_path / "etc").mkdir()
    return InstallOptions(root=tmp_path)


def tree(root: Path) -> dict[str, bytes]:
    """Every file with its content and mode; links by their target."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = f"{stat.S_IMODE(path.stat().st_mode):o} ".encode() + path.read_bytes()
        else:
            found[name] = b"folder"
    return found


def test_everything_stands_where_the_layout_says(options: InstallOptions) -> None:
    release = release_of_headers(REAL_INCLUDE)
    install(options)
    modes = {name: content.split(b" ")[0] for name, content in tree(options.root).items() if content != b"folder"}
    for program in (b"spank-container", b"shifterimg"):
        assert modes.pop(f"opt/spank-container/bin/{program.decode()}").endswith(b"/bin/" + program)
    assert modes.pop("usr/local/bin/spank-container").endswith(b"/opt/spank-container/bin/spank-container")
    assert modes.pop(f"{VENV}/lib/spank-container") == b"/opt/spank-container/container"
    modes.pop("usr/include")
    assert modes == {
        "etc/slurm/epilog.d/50-spank-container": b"755",
        "etc/slurm/plugstack.conf.d/spank-container.conf": b"644",
        "etc/slurm/prolog.d/50-spank-container": b"755",
        "etc/slurm/spank-container.slurm.conf": b"644",
        "etc/spank-container/config.toml": b"644",
        "opt/spank-container/bin/shifter": b"755",
        "opt/spank-container/container/bin/shifter": b"755",
        "opt/spank-container/lib/systemd/system/spank-container-gateway.service": b"644",
        "opt/spank-container/lib/systemd/system/spank-container-sweep.service": b"644",
        "opt/spank-container/lib/systemd/system/spank-container-sweep.timer": b"644",
        f"opt/spank-container/lib/slurm-{release}/spank_container.so": b"755",
        "opt/spank-container/modulefiles/shifter": b"644",
        "opt/spank-container/share/installed.json": b"644",
    }


def test_pages_and_completions_are_where_programs_look(options: InstallOptions) -> None:
    page = SharedFile("man/man1/page.1", "found", Path("/usr/local/share/man/man1/page.1"))
    other = SharedFile("man/man1/other.1", "beside the programs of the module only")
    install(options, (page, other))
    found = tree(options.root)
    assert found["opt/spank-container/share/man/man1/page.1"] == b"644 found"
    assert "opt/spank-container/share/man/man1/other.1" in found
    assert found["usr/local/share/man/man1/page.1"] == b"/opt/spank-container/share/man/man1/page.1"
    assert "usr/local/share/man/man1/other.1" not in found
    uninstall(options)
    assert "usr/local/share" not in tree(options.root)


def test_the_plugin_is_one_that_slurm_takes(options: InstallOptions) -> None:
    """Slurm compares plugin_version and plugin_type; only Slurm's own programs can load the plugin, so read it."""
    install(options)
    (plugin,) = options.root.glob("opt/spank-container/lib/slurm-*/spank_container.so")
    listed = subprocess.run(["nm", "-D", "--defined-only", plugin], capture_output=True, text=True, check=True).stdout
    address = {line.split()[2]: int(line.split()[0], 16) for line in listed.splitlines()}
    image = plugin.read_bytes()  # constants lie in the file where they lie in memory: ld aligns the two
    assert image[address["plugin_type"] :].startswith(b"spank\0")
    release = release_of_headers(REAL_INCLUDE)
    version = int.from_bytes(image[address["plugin_version"] :][:4], "little")
    assert version >> 8 == release.major << 8 | release.minor
    assert {"slurm_spank_init", "slurm_spank_task_init_privileged"} <= address.keys()
    assert all(name.startswith(("plugin_", "slurm_spank_", "spank_")) for name in address)


def test_the_same_source_compiles_to_the_same_bytes() -> None:
    assert compile_plugin(REAL_INCLUDE) == compile_plugin(REAL_INCLUDE)
    assert compile_shifter() == compile_shifter()


def test_a_second_run_changes_nothing_and_says_so(options: InstallOptions) -> None:
    assert install(options).changed
    before = tree(options.root)
    report = install(options)
    assert not report.changed
    assert report.text().splitlines()[0] == "nothing to change"
    assert tree(options.root) == before


def test_a_dry_run_shows_the_text_and_touches_nothing(options: InstallOptions) -> None:
    before = tree(options.root)
    text = install(replace(options, dry_run=True)).text()
    assert tree(options.root) == before
    assert "create /etc/slurm/prolog.d/50-spank-container  0755" in text
    assert "+PrologFlags=Alloc,Contain,DeferBatch" in text
    assert "(not text)" in text


def test_a_dry_run_shows_what_an_upgrade_would_change(options: InstallOptions) -> None:
    install(options)
    hook = options.root / "etc/slurm/prolog.d/50-spank-container"
    hook.write_text(hook.read_text().replace("exec ", "exec /usr/bin/nice "))
    text = install(replace(options, dry_run=True)).text()
    assert "update /etc/slurm/prolog.d/50-spank-container  0755" in text
    assert "\n-HOME=/nonexistent exec /usr/bin/nice " in text
    assert "same   /etc/slurm/epilog.d/50-spank-container  0755" in text


@pytest.mark.parametrize("damage", ["content", "mode", "removed", "link"])
def test_what_was_damaged_is_put_right(options: InstallOptions, damage: str) -> None:
    install(options)
    before = tree(options.root)
    shifter = options.root / "opt/spank-container/bin/shifter"
    match damage:
        case "content":
            shifter.write_text("#!/bin/sh\n")
        case "mode":
            shifter.chmod(0o644)
        case "removed":
            shifter.unlink()
        case _:
            shifter.unlink()
            shifter.symlink_to("/nonexistent")
    report = install(options)
    assert [step.path for step in report.steps if step.action.value != "same"] == [
        Path("/opt/spank-container/bin/shifter")
    ]
    assert tree(options.root) == before


def test_a_configuration_that_the_site_changed_is_kept(options: InstallOptions) -> None:
    install(options)
    (options.root / CONFIG).write_text('[images]\nstore = "/global/images"\n')
    report = install(options)
    assert not report.changed
    assert "keep   /etc/spank-container/config.toml  0644  (the site changed it)" in report.text()
    assert "/global/images" in (options.root / CONFIG).read_text()


def test_a_configuration_from_before_the_first_installation_is_kept(options: InstallOptions) -> None:
    (options.root / CONFIG).parent.mkdir()
    (options.root / CONFIG).write_text("# ours\n")
    install(options)
    assert (options.root / CONFIG).read_text() == "# ours\n"


def test_an_unchanged_configuration_follows_a_new_version(options: InstallOptions) -> None:
    install(options)
    manifest = options.in_root(options.manifest)
    document = json.loads(manifest.read_text())
    (options.root / CONFIG).write_text("# as an older version wrote it\n")
    older = "sha256:" + hashlib.sha256(b"# as an older version wrote it\n").hexdigest()
    document["written"]["/etc/spank-container/config.toml"] = older
    manifest.write_text(json.dumps(document))
    assert install(options).changed
    assert "[images]" in (options.root / CONFIG).read_text()


def test_uninstall_leaves_the_machine_as_it_was(options: InstallOptions) -> None:
    before = tree(options.root)
    install(options)
    assert uninstall(options).changed
    assert tree(options.root) == before


def test_uninstall_keeps_and_names_what_the_site_changed(options: InstallOptions) -> None:
    install(options)
    (options.root / CONFIG).write_text("# ours\n")
    (options.root / "etc/slurm/prolog.d/10-theirs").write_text("#!/bin/sh\n")
    text = uninstall(options).text()
    assert "keep   /etc/spank-container/config.toml  (the site changed it)" in text
    left = {name for name, content in tree(options.root / "etc").items() if content != b"folder"}
    assert left == {"spank-container/config.toml", "slurm/prolog.d/10-theirs"}


def test_uninstall_takes_the_plugstack_line_away_before_the_plugin(options: InstallOptions) -> None:
    install(options)
    names = [step.path.name for step in uninstall(replace(options, dry_run=True)).steps]
    assert names[0] == "spank-container.conf"
    assert names[-1] == "spank_container.so"
    assert (options.root / "etc/slurm/plugstack.conf.d/spank-container.conf").exists()


def test_uninstall_twice_says_that_there_is_nothing(options: InstallOptions) -> None:
    install(options)
    uninstall(options)
    assert uninstall(options).text() == "nothing to change"


def test_uninstall_is_refused_while_slurm_conf_includes_the_snippet(options: InstallOptions) -> None:
    install(options)
    (options.root / "etc/slurm/slurm.conf").write_text("include spank-container.slurm.conf\n")
    with pytest.raises(SiteError, match="and Slurm would not start without it") as caught:
        uninstall(options)
    assert caught.value.hint == "remove that line, restart slurmctld and each slurmd, then uninstall"


def test_an_older_releases_plugin_stays_until_uninstall(options: InstallOptions) -> None:
    install(options)
    (plugin,) = options.root.glob("opt/spank-container/lib/slurm-*/spank_container.so")
    older = plugin.parents[1] / "slurm-20.11" / plugin.name
    plugin.parent.rename(older.parent)
    manifest = options.in_root(options.manifest)
    manifest.write_text(manifest.read_text().replace(plugin.parent.name, "slurm-20.11"))
    install(options)
    assert older.exists()
    assert plugin.exists()
    uninstall(options)
    assert not (options.root / "opt").exists()


def test_a_file_comes_into_place_whole(options: InstallOptions) -> None:
    """Slurm's pattern prolog.d/* must never see a half of one, nor a temporary name."""
    install(options)
    hook = options.root / "etc/slurm/prolog.d/50-spank-container"
    inode = hook.stat().st_ino
    hook.write_text("#!/bin/sh\n")
    install(options)
    assert hook.stat().st_ino != inode
    assert os.listdir(hook.parent) == [hook.name]


def test_what_was_written_before_a_failure_is_known_to_uninstall(options: InstallOptions) -> None:
    before = tree(options.root)
    (options.root / "etc/slurm").write_text("a file where a folder must be")
    with pytest.raises(NodeError, match="installing: Not a directory"):
        install(options)
    assert (options.root / "opt/spank-container/bin/shifter").exists()
    uninstall(options)
    (options.root / "etc/slurm").unlink()
    assert tree(options.root) == before


def test_another_prefix_is_in_every_file(options: InstallOptions) -> None:
    install(replace(options, prefix=Path("/sw/containers"), slurm_conf_dir=Path("/sw/slurm/etc")))
    for name, content in tree(options.root / "sw/slurm/etc").items():
        if name != "plugstack.conf.d" and content != b"folder":
            assert b"/opt/spank-container" not in content
            assert b"/etc/slurm/" not in content.replace(b"/sw/slurm/etc/", b"")
    plugstack = (options.root / "sw/slurm/etc/plugstack.conf.d/spank-container.conf").read_text()
    assert "command=/sw/containers/bin/spank-container" in plugstack


@pytest.mark.parametrize("path", ["/opt/a b", "/opt/a#b", "relative", "/", "/opt/../etc", "/opt/$(id)", "/opt/'"])
def test_a_prefix_that_plugstack_conf_cannot_hold_is_refused(path: str) -> None:
    with pytest.raises(UserError, match=r"cannot be written into plugstack\.conf") as caught:
        InstallOptions(prefix=Path(path))
    assert caught.value.hint == "give an absolute path of letters, digits and . _ + @ -"
    with pytest.raises(UserError):
        InstallOptions(slurm_conf_dir=Path(path))


def test_a_venv_that_a_script_cannot_hold_is_refused() -> None:
    with pytest.raises(SiteError, match="a name that scripts cannot hold") as caught:
        check_venv(Path("/home/o'brien/venv"))
    assert caught.value.hint == "make it elsewhere"


def test_without_headers_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="reading Slurm's headers: No such file") as caught:
        install(InstallOptions(root=tmp_path))
    assert caught.value.hint.startswith("install Slurm's development package (Debian: libslurm-dev")


def test_headers_of_another_release_than_slurms_are_refused() -> None:
    with pytest.raises(SiteError, match=r"Slurm here is 24\.11, but its headers are of 22\.05"):
        check_same_release(SlurmRelease(22, 5), SlurmRelease(24, 11))
    check_same_release(SlurmRelease(22, 5), SlurmRelease(22, 5))
    check_same_release(SlurmRelease(22, 5), None)


def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/spank.h").write_text("#error this is no spank.h\n")
    with pytest.raises(SiteError, match=r"compiling the plugin: .* this is no spank.h"):
        compile_plugin(tmp_path)


def test_without_a_static_c_library_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a compiler that is asked for one that is not there."""
    (tmp_path / "cc").write_text('#!/bin/sh\nexec gcc "$@" -nodefaultlibs -L/nowhere -l:-lc\n')
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setattr("spank_container.install.compile.PATH", f"{tmp_path}:{os.defpath}")
    with pytest.raises(SiteError) as caught:
        compile_shifter()
    assert caught.value.report() == (
        "compiling the container's shifter: there is no static C library\n"
        "hint: install it (Debian: libc6-dev, RHEL: glibc-static)"
    )


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "written": [], "folders": []}', "\x00"])
def test_a_damaged_manifest_is_an_error_with_a_way_out(options: InstallOptions, text: str) -> None:
    install(options)
    options.in_root(options.manifest).write_text(text)
    with pytest.raises(SiteError, match="this is damaged") as caught:
        install(options)
    assert caught.value.hint == "remove it and install again"


def test_a_newer_versions_manifest_is_left_alone(options: InstallOptions) -> None:
    install(options)
    options.in_root(options.manifest).write_text('{"version": 99}')
    with pytest.raises(SiteError, match="another version of spank-container wrote this"):
        uninstall(options)
