"""A root that can be written to: what the user may do in it, that it is the container's own, and that it goes."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from kernel.miniature import ALICE, BOB, Node, in_container, isolated
from kernel.test_lifecycle import failed_text

from spank_container.kernel import idmap, mounts
from spank_container.site_config import ContainerConfig

pytestmark = pytest.mark.kernel
CACHE = "perNodeCache=size=16M,fs=ext4"


def at_mnt(node: Node) -> tuple[str, ...]:
    return (f"{node.path}/work:/mnt:{CACHE}",)


@isolated
@pytest.mark.parametrize("where", ["1M", "", "/mnt"])
def test_the_user_may_do_what_root_could(node: Node, where: str) -> None:
    """Change, replace and remove what is root's in the image, rename its folders, and make new ones anywhere."""
    directory = node.prolog(node.environment(volumes=at_mnt(node), writable=where))
    script = """
        set -e
        echo more >> /etc/name; cat /etc/name
        rm /bin/touch; mv /real /unreal; echo x > /unreal/x; mkdir -p /opt/app/out; echo y > /opt/app/out/y
        echo z > /z; chmod 700 /etc; ls -d /opt/app/out/y /unreal/x /z
        stat -c '%u:%g %a' / /etc /opt/app /z /bin/busybox
    """
    said = in_container(directory, script, ALICE)
    assert said == (
        "onemore\n/opt/app/out/y\n/unreal/x\n/z\n"
        f"{ALICE}:{ALICE} 755\n{ALICE}:{ALICE} 700\n{ALICE}:{ALICE} 755\n{ALICE}:{ALICE} 644\n{ALICE}:{ALICE} 6755\n"
    )
    assert "not found" in in_container(directory, "/bin/touch /x", ALICE)


@isolated
def test_the_containers_own_files_are_the_users_too(node: Node) -> None:
    directory = node.prolog(node.environment(writable=""))
    assert in_container(directory, "stat -c %u /etc/passwd /etc/group /var/hostsfile", ALICE) == f"{ALICE}\n" * 3
    assert in_container(directory, "echo x:x:1:1::/:/x >> /etc/passwd; cat /etc/passwd", ALICE).endswith(
        "x:x:1:1::/:/x\n"
    )
    assert "Read-only" in in_container(directory, "echo > /etc/hosts", ALICE)


@isolated
def test_what_is_written_is_the_jobs_own_and_goes_with_it(node: Node) -> None:
    environment = node.environment(writable="")
    first, second = node.prolog(environment), node.prolog(node.environment(8, uid=BOB, writable=""))
    reader = node.prolog(node.environment(9))
    in_container(first, "echo mine > /etc/name; echo > /new", ALICE)
    assert in_container(first, "cat /etc/name; ls /new") == "mine\n/new\n"
    for other in (second, reader):
        assert in_container(other, "cat /etc/name; ls /new").startswith("onels: /new: No such file")
    node.epilog(environment)
    node.prolog(environment)
    assert in_container(first, "cat /etc/name; ls /new").startswith("onels: /new: No such file")
    for job in (environment, node.environment(8), node.environment(9)):
        node.epilog(job)
    node.wait_until_clean()


@isolated
def test_the_size_is_a_limit(node: Node) -> None:
    directory = node.prolog(node.environment(writable="1M"))
    assert "No space left on device" in in_container(directory, "dd if=/dev/zero of=/x bs=64k count=32", ALICE)
    assert int(in_container(directory, "stat -c %s /x", ALICE)) <= 1 << 20


@isolated
def test_the_site_may_make_every_root_writable(node: Node) -> None:
    node.config = replace(node.config, container=ContainerConfig(writable=True, writable_size="2M"))
    directory = node.prolog(node.environment())
    assert in_container(directory, "echo x > /x; cat /x", ALICE) == "x\n"
    assert in_container(directory, "df -k / | tail -n 1").split()[1] == "2048"


@isolated
def test_the_layer_in_a_cache_is_met_through_the_overlay_alone(node: Node) -> None:
    """What the user could do to it beside the overlay would be undefined behaviour of the kernel's."""
    directory = node.prolog(node.environment(volumes=at_mnt(node), writable="/mnt"))
    in_container(directory, "echo x > /etc/x", ALICE)
    assert in_container(directory, "ls -a /mnt") == ".\n..\n"
    assert in_container(directory, "stat -c %u:%a /mnt") == f"{ALICE}:700\n"
    (line,) = re.findall(r"^\S+ \S+ \S+ (\S+) /mnt ", in_container(directory, "cat /proc/self/mountinfo"), re.MULTILINE)
    assert line == "/data"
    (overlay,) = [one for one in in_container(directory, "cat /proc/mounts").splitlines() if " / overlay " in one]
    assert {"rw", "nosuid", "nodev", "redirect_dir=on"} <= set(overlay.split()[3].split(","))


@isolated
def test_links_that_a_user_leaves_lead_no_later_container_astray(node: Node) -> None:
    """Each namespace has an upper layer of its own: a step's is built while a task of the job's is at work."""
    environment = node.environment(writable="")
    job = node.prolog(environment)
    in_container(job, "mv /etc /e; ln -s /proc/1/root/etc /etc; mv /mnt /m; ln -s /proc/1/root/tmp /mnt", ALICE)
    step = environment | {"SLURM_STEP_ID": "0"}
    node.prolog(step)
    directory = node.state.job(7, 0)
    assert directory.is_ready()
    assert in_container(directory, "readlink /etc; cat /etc/name") == "one"
    node.epilog(environment)
    node.wait_until_clean()


@isolated
def test_a_node_that_cannot_map_ids_fails_the_job_and_not_the_node(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.2 squashfs could not; here ramfs takes its place, which still cannot."""
    real = mounts.clone_tree

    def clone_of_ramfs(tree: int, path: str = "", *, attributes: int = mounts.HARMLESS) -> int:
        os.close(real(tree, path, attributes=attributes))
        return mounts.new_filesystem("ramfs", {})

    with monkeypatch.context() as patch:
        patch.setattr("spank_container.executor.layers.mounts.clone_tree", clone_of_ramfs)
        text = failed_text(node, node.environment(writable=""))
    assert text == (
        "--image-writable: this node cannot show the image's files as yours: Invalid argument\n"
        "hint: it needs Linux 6.3 and user.max_user_namespaces above 0; do without, or ask the site\n"
    )


@isolated
def test_a_kernel_that_gives_no_user_namespace_is_no_silence(node: Node) -> None:
    """It gives none to a process in a chroot; user_namespaces(7)."""
    os.chroot(node.path)
    with pytest.raises(PermissionError), idmap.exchanging_root(ALICE, ALICE):
        pass
