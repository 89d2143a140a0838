"""What an administrator sees: the check, the installation and its undoing; and jobs that ask for no container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cluster.aftermath import assert_idle, assert_nothing_left
from cluster.background import running
from cluster.output import sections, without_slurm

from sandbox import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cluster import Cluster
    from sandbox.command import Completed

PROGRAM = "/opt/spank-container/bin/spank-container"
INSTALLED = "/opt/spank-container/venv/bin/spank-container"  # what pip has put there, and uninstall leaves there
TREE = (
    "find /opt/spank-container /etc/slurm /etc/spank-container -not -path '*/venv/*' -printf '%p %m %T@ %i\\n' | sort"
)


# The doctor.


@pytest.mark.parametrize("node", ["login", "n1"])
def test_an_installed_node_passes_the_check(site: Cluster, node: str) -> None:
    done = site.run([PROGRAM, "check", "--json"], user="root", node=node)
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if finding["level"] != "ok"] == []
    assert len(findings) > 15
    assert done.returncode == 0


# The installation, on a root of n2's own.


@pytest.fixture
def own_root(site: Cluster) -> Iterator[Cluster]:
    """What is written on n2 stays there; afterwards Slurm's files are as they were, and the rest is installed."""
    node = site.members["n2"]
    node.sh("cp -a /etc/slurm /etc/slurm.before")
    yield site
    install(site)
    node.sh("rm -r /etc/slurm && mv /etc/slurm.before /etc/slurm")
    assert_idle(site)


def install(cluster: Cluster, *options: str) -> Completed:
    done = cluster.run([INSTALLED, "install", *options], user="root", node="n2")
    assert done.returncode == 0, done.stderr
    return done


def test_a_second_installation_changes_nothing(own_root: Cluster) -> None:
    install(own_root)
    before = own_root.members["n2"].sh(TREE)
    assert install(own_root).stdout.endswith("nothing to change\n")
    assert own_root.members["n2"].sh(TREE) == before


def test_uninstalling_takes_back_what_was_installed(own_root: Cluster) -> None:
    node = own_root.members["n2"]
    refused = own_root.run([INSTALLED, "install", "--uninstall"], user="root", node="n2")
    assert "slurm.conf includes spank-container.slurm.conf" in refused.stderr
    node.sh("sed -i /spank-container/d /etc/slurm/slurm.conf")
    installed = node.sh(TREE)

    assert "remove " in install(own_root, "--uninstall", "--dry-run").stdout
    assert node.sh(TREE) == installed
    install(own_root, "--uninstall")
    assert "50-spank-container" not in node.sh(TREE)
    assert "spank_container.so" not in node.sh(TREE)

    assert "create " in install(own_root, "--dry-run").stdout
    assert "spank_container.so" not in node.sh(TREE)
    install(own_root)
    assert "spank_container.so" in node.sh(TREE)


def test_a_node_that_was_installed_anew_runs_containers(own_root: Cluster) -> None:
    node = own_root.members["n2"]
    node.sh(f"sed -i /spank-container/d /etc/slurm/slurm.conf; {INSTALLED} install --uninstall; {INSTALLED} install")
    done = own_root.run(["srun", "--nodelist=n2", "--image=docker:busybox", "cat", "/etc/os-release"])
    assert done.stdout == 'PRETTY_NAME="BusyBox of the sandbox"\n', done.stderr


def test_an_argument_that_the_plugin_does_not_know(site: Cluster) -> None:
    """With a slurm.conf of alice's own: a plugstack.conf with a slip of the pen must not be half obeyed."""
    script = """
    mkdir -p slip && cp /etc/slurm/*.conf slip
    echo "required $(echo /opt/spank-container/lib/slurm-*/spank_container.so) comand=/x" > slip/plugstack.conf
    SLURM_CONF=$HOME/slip/slurm.conf sbatch --wrap hostname
    """
    done = site.run(script)
    assert (done.returncode, done.stdout) == (1, "")
    assert "spank-container: plugstack.conf has comand=/x; use command=/PATH" in done.stderr, without_slurm(done.stderr)


# Jobs without a container.

LOOK = """
echo "== namespace"; srun readlink /proc/self/ns/mnt
echo "== status"; srun cat /proc/self/status
echo "== environment"; srun env
pause end
"""


@pytest.fixture(scope="module")
def ordinary(site: Cluster) -> dict[str, str]:
    """What a job without --image sees, and which files of ours there are while it runs."""
    assert_nothing_left(site)
    with running(site, LOOK, "--nodelist=n1") as job:
        job.reach("end")
        printed = sections(job.output)
        log = site.members["n1"].sh("cat /var/log/spank-container.log 2> /dev/null || true")
        return printed | {"left": str(leftovers.of_node(site.members["n1"]).files), "id": str(job.id), "log": log}


def test_a_job_without_an_image_is_on_the_host(ordinary: dict[str, str], site: Cluster) -> None:
    assert ordinary["namespace"] == site.members["n1"].sh("readlink /proc/1/ns/mnt")


def test_a_job_without_an_image_keeps_the_hosts_ways(ordinary: dict[str, str], site: Cluster) -> None:
    """Sudo and the like still work there."""
    host = site.run(["cat", "/proc/self/status"], node="n1").stdout
    for name in ("CapBnd:", "CapInh:", "CapAmb:", "NoNewPrivs:"):
        assert lines(ordinary["status"], name) == lines(host, name)


def lines(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(name)]


@pytest.mark.parametrize("name", ["CONTAINER", "SHIFTER", "SPANK"])
def test_a_job_without_an_image_has_no_variable_of_ours(ordinary: dict[str, str], name: str) -> None:
    assert "SLURM_JOB_ID=" in ordinary["environment"]
    assert [line for line in ordinary["environment"].splitlines() if name in line.partition("=")[0]] == []


def test_a_job_without_an_image_starts_nothing_of_ours(ordinary: dict[str, str]) -> None:
    assert ordinary["left"] == "()"
    assert f"job={ordinary['id']} " not in ordinary["log"]
