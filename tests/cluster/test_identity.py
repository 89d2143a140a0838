"""Who the user is in the container: by a node's own name service, however many groups, and also when it hangs."""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.output import sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster
    from sandbox.node import Node

IMAGE = "--image=docker:debian:trixie"
ON_N1 = ("srun", "--nodelist=n1", IMAGE)
# carol is in 40 groups and dave in 1000; n1 does not know one of carol's. eve is only known where jobs are submitted.
USERS = {"carol": (2103, 40, 10_000), "dave": (2104, 1000, 20_000)}
NAMELESS = 10_007
EVE = "eve:x:2105:2105:Eve:/home/eve:/bin/bash"
LOOK = r"""
look() { echo "== $1"; shift; "$@" 2>&1; }
look id id
look whoami whoami
look passwd getent passwd "$(id -u)"
look root getent passwd 0
look "group by name" getent group project39
look "group by number" getent group "$(id -g)"
look "home's owner" sh -c 'touch ~/mine; ls -l ~/mine'
look "other's owner" ls -ld /of-alice
look host getent hosts n2
look nsswitch cat /etc/nsswitch.conf
look HOME sh -c 'echo "$HOME"; cd; pwd'
"""


@pytest.fixture(scope="module")
def people(site: Cluster) -> Cluster:
    """The cluster, with these users on every node."""
    for name, member in site.members.items():
        member.sh("cat >> /etc/group", stdin="".join(group_lines(on_n1=name == "n1")))
        lines = [
            f"{user}:x:{uid}:{uid}:{user} Room 1, \N{LATIN SMALL LETTER U WITH DIAERESIS}:/home/{user}:/bin/zsh\n"
            for user, (uid, _, _) in USERS.items()
        ]
        member.sh("cat >> /etc/passwd", stdin="".join(lines) + (f"{EVE}\n" if name == "login" else ""))
    folders = " ".join(f"/home/{user}" for user in (*USERS, "eve"))
    site.run(
        f"mkdir -p {folders}; for user in {' '.join(USERS)} eve; do chown $user:$user /home/$user; done", user="root"
    )
    return site


def group_lines(*, on_n1: bool) -> Iterator[str]:
    yield "eve:x:2105:\n"
    for user, (uid, _, _) in USERS.items():
        yield f"{user}:x:{uid}:\n"
        for name, number in groups_of(user):
            if not (on_n1 and number == NAMELESS):
                yield f"{name}:x:{number}:{user}\n"


def groups_of(user: str) -> list[tuple[str, int]]:
    """Less the primary one."""
    _, count, first = USERS[user]
    prefix = "project" if user == "carol" else "team"
    return [(f"{prefix}{n}", first + n) for n in range(count - 1)]


def look(site: Cluster, user: str, script: str = LOOK, *options: str) -> dict[str, str]:
    done = site.run([*ON_N1, *options, "sh", "-c", script], user=user)
    assert done.returncode == 0, done.stderr
    return sections(done.stdout)


@pytest.fixture(scope="module")
def carol(people: Cluster) -> dict[str, str]:
    return look(people, "carol", LOOK, "--volume=/shared/alice:/of-alice")


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        ("whoami", "carol\n"),
        ("passwd", "carol:x:2103:2103:carol Room 1, ü:/home/carol:/bin/zsh\n"),
        ("root", "root:x:0:0:root:/root:/bin/bash\n"),
        ("group by number", "carol:x:2103:carol\n"),
        ("HOME", "/home/carol\n/home/carol\n"),
    ],
)
def test_who_the_user_is(carol: dict[str, str], what: str, printed: str) -> None:
    """Also where the image lacks the shell: programs that start it say so, and no other would be the user's."""
    assert carol[what] == printed


def test_files_have_owners_with_names(carol: dict[str, str]) -> None:
    """But strangers of the node: alice is not in the container."""
    assert carol["home's owner"].split()[2:4] == ["carol", "carol"]
    assert carol["other's owner"].split()[2:4] == ["2001", "2001"]


def test_nodes_have_names(carol: dict[str, str], people: Cluster) -> None:
    address = people.members["n1"].sh("getent hosts n2").split()[0]
    assert carol["host"].split() == [address, "n2"]
    assert "passwd: files\n" in carol["nsswitch"]


@pytest.mark.parametrize("user", USERS)
def test_all_groups_are_there_with_their_names(people: Cluster, user: str) -> None:
    """As on the node itself, which does not know one of carol's."""
    uid, count, _ = USERS[user]
    printed = look(people, user)["id"]
    groups = dict(re.findall(r"(\d+)(?:\(([^)]+)\))?", printed.partition(" groups=")[2]))
    expected = {str(number): name for name, number in groups_of(user)} | {str(uid): user}
    if str(NAMELESS) in expected:
        expected[str(NAMELESS)] = ""
    assert groups == expected
    assert len(groups) == count


@pytest.mark.parametrize("user", USERS)
def test_a_volume_by_the_last_of_many_groups(people: Cluster, user: str) -> None:
    _, count, first = USERS[user]
    place = f"/shared/of-{user}"
    people.run(
        f"mkdir -p {place}; chgrp {first + count - 2} {place}; chmod 770 {place}; echo in > {place}/file", user="root"
    )
    assert look(people, user, "echo '== file'; cat /data/file", f"--volume={place}:/data")["file"] == "in\n"


def test_a_user_whom_the_node_does_not_know(people: Cluster) -> None:
    """Slurm starts such a job, by what its controller knows; the container's files say the same."""
    done = people.run([*ON_N1, "sh", "-c", "id -un; getent passwd 2105; id -g"], user="eve")
    assert done.stdout == "eve\neve:x:2105:2105::/:/bin/sh\n2105\n", done.stderr


RESOLVED = """
mkdir -p /run/systemd/resolve
echo "nameserver 192.0.2.53" > /run/systemd/resolve/stub-resolv.conf
mv /etc/resolv.conf /etc/resolv.conf.kept
ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
ln -sf /usr/share/zoneinfo/Asia/Kathmandu /etc/localtime.new
cp -P /etc/localtime /etc/localtime.kept 2> /dev/null || true
[ ! -e /etc/localtime.new ] || mv /etc/localtime.new /etc/localtime
"""
UNRESOLVED = """
mv /etc/resolv.conf.kept /etc/resolv.conf
rm -rf /run/systemd
[ ! -L /etc/localtime.kept ] || mv /etc/localtime.kept /etc/localtime
"""


def test_files_of_the_node_that_are_links(people: Cluster) -> None:
    """As with systemd-resolved, whose resolv.conf is a link into /run, which no container has."""
    node = people.members["n1"]
    node.sh(RESOLVED)
    try:
        script = "echo '== resolv.conf'; cat /etc/resolv.conf; echo '== date'; date -d @0 +%H:%M"
        seen = look(people, "alice", script)
        assert seen["resolv.conf"] == "nameserver 192.0.2.53\n"
        assert seen["date"] == node.sh("date -d @0 +%H:%M")
    finally:
        node.sh(UNRESOLVED)


def test_root_has_no_container_in_a_step_either(people: Cluster) -> None:
    """Whichever way it comes: a job of root's, and a step of root's job that asks for an image."""
    words = "root's jobs get no container on this cluster"
    for command in (
        ["srun", IMAGE, "id"],
        ["salloc", "--quiet", IMAGE, "id"],
        ["salloc", "--quiet", "srun", IMAGE, "id"],
    ):
        done = people.run(command, user="root")
        assert done.returncode != 0
        assert words in done.stderr
        assert "uid=0" not in done.stdout


# For the programs of spank-container only: what Slurm itself asks is Slurm's affair.
MODULE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
static void hang(const char *what)
{
    while (!strcmp(program_invocation_short_name, "python3") && !access(what, F_OK))
        sleep(1);
}
enum nss_status _nss_hang_getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, int *error)
{
    hang("/etc/hang.account");
    return NSS_STATUS_NOTFOUND;
}
enum nss_status _nss_hang_getgrgid_r(gid_t gid, struct group *entry, char *buffer, size_t size, int *error)
{
    hang("/etc/hang.names");
    return NSS_STATUS_NOTFOUND;
}
"""
HANGING = """
cp /etc/nsswitch.conf /etc/nsswitch.conf.kept
sed -i 's/^\\(passwd\\|group\\):/\\1: hang/' /etc/nsswitch.conf
cp /etc/spank-container/config.toml /etc/spank-container/config.toml.kept
printf '[container]\\nname_service_timeout = 1\\n' >> /etc/spank-container/config.toml
"""
HEALED = """
mv /etc/nsswitch.conf.kept /etc/nsswitch.conf
mv /etc/spank-container/config.toml.kept /etc/spank-container/config.toml
rm -f /etc/hang.* /usr/lib/x86_64-linux-gnu/libnss_hang.so.2
"""


@pytest.fixture(scope="module")
def hanging(people: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """n2, whose name service can be told to hang."""
    library = tmp_path_factory.mktemp("nss") / "libnss_hang.so.2"
    source = library.with_suffix(".c")
    source.write_text(MODULE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    node = people.members["n2"]
    (node.root / "usr/lib/x86_64-linux-gnu" / library.name).write_bytes(library.read_bytes())
    node.sh(HANGING)
    yield node
    node.sh(HEALED)


@contextlib.contextmanager
def hung(node: Node, what: str) -> Iterator[None]:
    node.sh(f"touch /etc/hang.{what}")
    try:
        yield
    finally:
        node.sh(f"rm /etc/hang.{what}")


def test_a_name_service_that_hangs_fails_the_job_and_not_the_node(people: Cluster, hanging: Node) -> None:
    with hung(hanging, "account"):
        job = people.sbatch("#!/bin/sh\nsrun echo it runs", "--nodelist=n2", IMAGE)
    assert job.state == "FAILED"
    assert "it runs" not in job.output
    assert "looking up user 2001: the name service did not answer within 1 s" in job.output
    assert "hint: submit again; if it stays so, tell your administrators: " in job.output
    assert_idle(people)


def test_names_of_groups_are_not_waited_for(people: Cluster, hanging: Node) -> None:
    with hung(hanging, "names"):
        done = people.run(["srun", "--nodelist=n2", IMAGE, "id"], user="alice")
    assert done.stdout == "uid=2001(alice) gid=2001(group2001) groups=2001(group2001),3000(group3000),3001(group3001)\n"
    assert "3 groups have no name: the name service did not answer within 1 s" in hanging.sh(
        "tail -n 20 /var/log/spank-container.log"
    )


def test_a_name_service_that_has_come_back(people: Cluster, hanging: Node) -> None:
    del hanging  # only that it is still configured
    done = people.run(["srun", "--nodelist=n2", IMAGE, "id"], user="alice")
    assert done.stdout == "uid=2001(alice) gid=2001(alice) groups=2001(alice),3000(science),3001(project-alice)\n"


def test_identities_leave_nothing(people: Cluster) -> None:
    assert_nothing_left(people)
