"""Where mounts land: through the image's links, on other mounts, in places that have to be made."""

from __future__ import annotations

import os

import pytest
from kernel.miniature import ALICE, Node, in_container, isolated
from kernel.test_lifecycle import failed_text

pytestmark = pytest.mark.kernel
HINT = "hint: on another volume you must be able to make the place, and a file needs a file, a folder a folder\n"


def work(node: Node, *names: str) -> None:
    """Folders of alice's in work/, each with a file that says its name."""
    for name in names:
        folder = node.path / "work" / name
        folder.mkdir()
        (folder / "file").write_text(name)
        os.chown(folder, ALICE, ALICE)


@isolated
def test_places_on_the_jobs_own_mounts_are_made_as_the_user(node: Node) -> None:
    work(node, "a")
    source = f"{node.path}/work/a"
    cache = f"{node.path}/work:/mnt:perNodeCache=size=16M,fs=ext4"
    volumes = (cache, f"{source}:/tmp/x/y", f"{source}:/mnt/deep/er", f"{source}/file:/mnt/some/file")
    directory = node.prolog(node.environment(volumes=volumes))
    assert in_container(directory, "cat /tmp/x/y/file /mnt/deep/er/file /mnt/some/file") == "aaa"
    assert in_container(directory, "stat -c %u:%a /tmp/x /mnt/deep /mnt/some") == f"{ALICE}:755\n" * 3
    assert in_container(directory, "stat -c %a /tmp") == "1777\n"


@isolated
def test_places_on_a_volume_are_made_as_the_user_and_stay(node: Node) -> None:
    work(node, "outer", "inner")
    outer, inner = node.path / "work/outer", node.path / "work/inner"
    volumes = (f"{outer}:/data", f"{inner}:/data/x/y", f"{inner}/file:/data/f")
    environment = node.environment(volumes=volumes)
    directory = node.prolog(environment)
    assert in_container(directory, "cat /data/x/y/file /data/f /data/file") == "innerinnerouter"
    node.epilog(environment)
    made = [outer / "x", outer / "x/y", outer / "f"]
    assert [(one.stat().st_uid, oct(one.stat().st_mode)) for one in made] == [
        (ALICE, "0o40755"),
        (ALICE, "0o40755"),
        (ALICE, "0o100644"),
    ]


@isolated
def test_no_place_is_made_where_the_user_may_not_write(node: Node) -> None:
    work(node, "a", "roots")
    os.chown(node.path / "work/roots", 0, 0)
    source = f"{node.path}/work/a"
    for outer, flags, reason in (("roots", "", "Permission denied"), ("a", ":ro", "Read-only file system")):
        volumes = (f"{node.path}/work/{outer}:/data{flags}", f"{source}:/data/absent")
        text = failed_text(node, node.environment(volumes=volumes))
        assert text == f"--volume: nothing can be mounted at /data/absent: {reason}\n{HINT}"
        assert not (node.path / "work" / outer / "absent").exists()


@isolated
def test_a_place_of_the_other_kind_is_refused(node: Node) -> None:
    work(node, "a")
    (node.path / "work/a/folder").mkdir()
    source = f"{node.path}/work/a"
    for inner, target, reason in (("a/file", "folder", "Is a directory"), ("a", "file", "Not a directory")):
        volumes = (f"{source}:/data", f"{node.path}/work/{inner}:/data/{target}")
        text = failed_text(node, node.environment(volumes=volumes))
        assert text == f"--volume: nothing can be mounted at /data/{target}: {reason}\n{HINT}"


@isolated
def test_no_place_is_made_behind_a_link(node: Node) -> None:
    """A link on a volume leads to what is there already, but who owns it may swap it while places are made."""
    work(node, "a", "b")
    (node.path / "work/a/link").symlink_to("/tmp")
    volumes = (f"{node.path}/work/a:/data", f"{node.path}/work/b:/data/link/absent")
    text = failed_text(node, node.environment(volumes=volumes))
    assert text == f"--volume: nothing can be mounted at /data/link/absent: Too many levels of symbolic links\n{HINT}"


@isolated
def test_a_link_of_the_image_leads_onto_another_mount(node: Node) -> None:
    """/var/run is a link to /run, /trap to /etc; a mount hides the links below it."""
    work(node, "a", "b")
    volumes = (f"{node.path}/work/b:/var/run/x", f"{node.path}/work/a:/run", f"{node.path}/work/b:/run/trap")
    directory = node.prolog(node.environment(volumes=volumes))
    assert in_container(directory, "cat /run/file /run/x/file /run/trap/file") == "abb"


@isolated
def test_two_targets_that_are_one_place_in_the_image_are_refused(node: Node) -> None:
    work(node, "a", "b")
    text = failed_text(node, node.environment(volumes=(f"{node.path}/work/a:/var/run", f"{node.path}/work/b:/run")))
    assert text == (
        "--volume: /run and /var/run lead in this image to the same place, /run\n"
        "hint: give each volume a target of its own\n"
    )


@isolated
def test_a_volume_replaces_the_tmp_that_the_image_leads_it_to(node: Node) -> None:
    work(node, "a")
    directory = node.prolog(node.environment(image="vartmp", volumes=(f"{node.path}/work/a:/var/tmp",)))
    assert in_container(directory, "cat /tmp/file /var/tmp/file") == "aa"
    directory = node.prolog(node.environment(8, image="vartmp", volumes=(f"{node.path}/work/a:/var/tmp/x/y",)))
    assert in_container(directory, "cat /tmp/x/y/file") == "a"
