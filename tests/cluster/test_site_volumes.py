"""What a site's [volumes] does to alice's jobs: which folders may be shown, which never, and what every container has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.configuration import configured
from cluster.output import sections, without_slurm

from sandbox import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster

LOG = "/var/log/spank-container.log"
IMAGE = "--image=docker:busybox"
RULES = """
[volumes]
allow = ["/shared/allowed", "/shared/reference", "/alias/", "/srv/links"]
deny = ["/shared/allowed/secret"]
read_only = ["/shared/reference/fixed"]
mounts = [
    "/shared/tools:/opt/tools:ro",
    "/shared/lent:/lent",
    "/srv/burst:optional",
    "/shared/jobs.conf:/etc/jobs.conf",
    "/shared/lent:/over",
    "/shared/lent:/over/deeper",
]
"""
SHARED = """
cd /shared
mkdir -p allowed/alice allowed/secret/of allowed2 reference/fixed/x tools/bin lent aliased/data other
ln -sfn /shared/reference/fixed allowed/alice/leads
chown -R alice: allowed/alice reference lent aliased other
chmod -R o+rX allowed
echo 'a secret' > allowed/secret/file
echo 'a tool' > tools/bin/tool
echo 'for jobs' > jobs.conf
"""
# On login, n1 and n2: what alice's link leads to differs, as where a node has mounted something else.
LOCAL = """
ln -sfn /shared/aliased /alias
mkdir -p /srv/links
ln -sfn {leads_to} /srv/links/data
"""


@pytest.fixture(scope="module")
def ruled(site: Cluster) -> Iterator[Cluster]:
    """The cluster with these rules, and with /srv/burst on n1 alone."""
    site.run(SHARED, user="root")
    for name, member in site.members.items():
        leads_to = "/shared/allowed/secret/of" if name == "n1" else "/shared/allowed/alice"
        member.sh(LOCAL.format(leads_to=leads_to))
    site.members["n1"].sh("mkdir -p /srv/burst && echo fast > /srv/burst/file")
    with configured(site.members.values(), lambda text: text + RULES):
        yield site
    site.run("cd /shared && rm -r allowed allowed2 reference tools lent aliased other jobs.conf", user="root")
    for member in site.members.values():
        member.sh("rm -rf /alias /srv/links /srv/burst")


VOLUMES = [
    "/shared/allowed/alice:/mine",
    "/shared/reference:/reference",
    "/shared/reference/fixed/x:/fixed",
    "/shared/allowed/alice/leads:/through",
    "/alias/data:/alias",
    "/shared/allowed/alice:/over",
]
LOOK = r"""
look() { echo "== $1"; shift; "$@" 2>&1; }
look allowed sh -c 'echo written > /mine/file; cat /mine/file'
look "holds what is read-only" touch /reference/new
look read-only touch /fixed/new
look "read-only through a link" touch /through/new
look "through the site's link" touch /alias/new
look "site, read-only" sh -c 'cat /opt/tools/bin/tool; touch /opt/tools/new'
look site sh -c 'echo lent > /lent/file; cat /lent/file'
look "a file of the site's" cat /etc/jobs.conf
look optional cat /srv/burst/file
look "the user wins" ls /over
look "the job's directory" ls -d /shared/other
look home ls -d /home/alice
"""


@pytest.fixture(scope="module")
def seen(ruled: Cluster) -> dict[str, dict[str, str]]:
    """By node."""
    options = ["--image=docker:debian:trixie", "--chdir=/shared/other", *(f"--volume={volume}" for volume in VOLUMES)]
    return {
        node: sections(ruled.run(["srun", f"--nodelist={node}", *options, "bash", "-c", LOOK]).stdout)
        for node in ruled.nodes
    }


@pytest.mark.parametrize(
    ("what", "printed"),
    [
        ("allowed", "written\n"),
        ("holds what is read-only", "touch: cannot touch '/reference/new': Read-only file system\n"),
        ("read-only", "touch: cannot touch '/fixed/new': Read-only file system\n"),
        ("read-only through a link", "touch: cannot touch '/through/new': Read-only file system\n"),
        ("through the site's link", ""),
        ("site, read-only", "a tool\ntouch: cannot touch '/opt/tools/new': Read-only file system\n"),
        ("site", "lent\n"),
        ("a file of the site's", "for jobs\n"),
        ("the user wins", "file\nleads\n"),
        ("the job's directory", "ls: cannot access '/shared/other': No such file or directory\n"),
        ("home", "/home/alice\n"),
    ],
)
def test_what_a_job_sees(seen: dict[str, dict[str, str]], what: str, printed: str) -> None:
    assert [node[what] for node in seen.values()] == [printed, printed]


def test_a_site_mount_that_not_every_node_has(seen: dict[str, dict[str, str]]) -> None:
    assert seen["n1"]["optional"] == "fast\n"
    assert seen["n2"]["optional"] == "cat: /srv/burst/file: No such file or directory\n"


NOT_ALLOWED = (
    "this cluster does not allow it\nhint: volumes may be in /shared/allowed, /shared/reference, /alias, /srv/links"
)
IN_SECRET = "it is in /shared/allowed/secret, which this cluster shows in no container"  # noqa: S105  # a folder's name


@pytest.mark.parametrize(
    ("source", "refusal"),
    [
        ("/home/alice", NOT_ALLOWED),
        ("/shared/allowed2", NOT_ALLOWED),
        ("/shared/allowed/./secret/of/", f"{IN_SECRET}\nhint: name another folder"),
        ("/shared/allowed", f"{IN_SECRET.replace('is in', 'holds')}\nhint: name less of it"),
        ("/shared/allowed/alice/link", f"{IN_SECRET}\nhint: name another folder"),
    ],
)
def test_what_is_refused_at_submit(ruled: Cluster, source: str, refusal: str) -> None:
    ruled.run("ln -sfn /shared/allowed/secret/of /shared/allowed/alice/link")
    done = ruled.run(["sbatch", IMAGE, f"--volume={source}:/x", "--wrap=true"])
    leads = " leads to /shared/allowed/secret/of" if source.endswith("link") else ""
    shown = source.replace("/./", "/").rstrip("/")
    assert without_slurm(done.stderr) == f"spank-container: --volume: {shown}{leads}: {refusal}\n"
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("flag", ["", ":ro"])
def test_a_link_that_leads_elsewhere_on_a_node(ruled: Cluster, flag: str) -> None:
    """What the login node could not know fails the job there, in words, and leaves the node in service."""
    options = (IMAGE, f"--volume=/srv/links/data:/x{flag}")
    job = ruled.sbatch("#!/bin/sh\nsrun ls /x; echo it runs", "--nodelist=n1", *options)
    assert (job.state, job.exit_code) == ("FAILED", 1)
    assert f"--volume: /srv/links/data leads to /shared/allowed/secret/of: {IN_SECRET}\n" in job.output
    assert "it runs" not in job.output
    assert_nothing_left(ruled)
    elsewhere = ruled.sbatch("#!/bin/sh\nsrun ls /x", "--nodelist=n2", *options)
    assert elsewhere.state == "COMPLETED", elsewhere.output


def test_a_step_obeys_as_well(ruled: Cluster) -> None:
    done = ruled.run(f"salloc -n1 -w n1 {IMAGE} srun --volume=/srv/links/data:/x ls /x")
    assert done.returncode != 0
    assert f"--volume: /srv/links/data leads to /shared/allowed/secret/of: {IN_SECRET}\n" in done.stderr
    assert_idle(ruled)


def test_a_site_mount_that_is_not_there(ruled: Cluster) -> None:
    """Each job on that node would go wrong, so the node is taken out of service, and the log says why."""
    node = ruled.members["n2"]
    with configured([node], lambda text: text.replace("/srv/burst:optional", "/srv/nowhere")):
        number = jobs.start(ruled.members["login"], "#!/bin/sh\necho it runs", "--nodelist=n2", IMAGE)
        ruled.run("until sinfo --noheader --nodes n2 --format=%T | grep drain; do sleep 0.05; done")
        ruled.run(["scancel", str(number)])
        assert "it runs" not in jobs.wait(ruled.members["login"], number).output
    why = "binding into the container, for [volumes] mounts[2]: No such file or directory [/srv/nowhere]"
    assert why in node.sh(f"cat {LOG}")
    ruled.run(["scontrol", "update", "NodeName=n2", "State=RESUME"], user="root")
    assert_nothing_left(ruled)


def test_a_broken_edit_changes_nothing(ruled: Cluster) -> None:
    node = ruled.members["n1"]
    ruled.run("echo lent > /shared/lent/file")
    with configured([node], lambda text: text.replace('deny = ["/', 'deny = ["')):
        job = ruled.sbatch("#!/bin/sh\nsrun cat /lent/file", "--nodelist=n1", IMAGE)
    assert (job.state, job.output) == ("COMPLETED", "lent\n")
    assert "volumes.deny[0]: 'shared/allowed/secret' is wrong: the path is not absolute" in node.sh(f"cat {LOG}")
