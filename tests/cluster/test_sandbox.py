"""The sandbox is what it says: a Slurm of several nodes and users that leaves nothing on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machine import Machine

from sandbox import loops, registry
from sandbox.jobs import RefusedError

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

CHECKOUT = Path(__file__).parents[2]
SANDBOX = (sys.executable, "-m", "sandbox")


# On every release of Slurm.


def test_a_step_runs_on_every_node(cluster: Cluster) -> None:
    done = cluster.run(["srun", "-N2", "hostname"])
    assert sorted(done.stdout.split()) == ["n1", "n2"]


def test_the_release_is_the_one_asked_for(cluster: Cluster) -> None:
    assert f" {cluster.release.slurm}." in cluster.run(["sinfo", "--version"]).stdout


@pytest.mark.parametrize(("user", "uid", "groups"), [("alice", 2001, "3000,3001"), ("bob", 2002, "3000,3002")])
def test_users_are_themselves_in_their_jobs(cluster: Cluster, user: str, uid: int, groups: str) -> None:
    job = cluster.sbatch("#!/bin/sh\nsrun sh -c 'id -u; id -g; id -G'", user=user)
    assert job.output.splitlines() == [str(uid), str(uid), f"{uid} {groups.replace(',', ' ')}"]


@pytest.mark.parametrize("folder", ["/home/alice", "/shared/alice"])
def test_home_and_shared_are_common_to_all_nodes(cluster: Cluster, folder: str) -> None:
    cluster.run(f"srun -w n1 sh -c 'echo from-n1 > {folder}/note'")
    assert cluster.run(["cat", f"{folder}/note"], user="bob", node="n2").stdout == "from-n1\n"


def test_node_names_and_addresses_are_their_own(cluster: Cluster) -> None:
    done = cluster.run(["srun", "-N2", "-l", "hostname", "-i"])
    assert sorted(done.stdout.splitlines()) == ["0: 10.73.1.1", "1: 10.73.1.2"]


def test_a_batch_script_can_load_modules(cluster: Cluster) -> None:
    job = cluster.sbatch("#!/bin/bash\nmodule load null && module list 2>&1")
    assert (job.state, "null" in job.output) == ("COMPLETED", True)


def test_the_submit_environment_finds_our_modulefile(cluster: Cluster) -> None:
    assert "shifter" in cluster.run("module avail 2>&1").stdout


@pytest.mark.parametrize("name", ["docker://debian:trixie", "docker://docker.io/library/busybox"])
def test_the_registry_stands_for_docker_hub(cluster: Cluster, name: str) -> None:
    done = cluster.run(["skopeo", "inspect", "--raw", name], node="n1")
    assert "application/vnd.oci.image.layer" in done.stdout, done.stderr


def test_the_private_registry_wants_a_password(cluster: Cluster) -> None:
    name = "docker://registry.sandbox:5001/private:1"
    copy = ["skopeo", "copy", "--quiet", "docker://busybox", name]
    refused = cluster.run(copy)
    assert "authentication required" in refused.stderr
    login = [f"--dest-creds={registry.PRIVATE_USER}:{registry.PRIVATE_PASSWORD}"]
    assert cluster.run([*copy, *login]).returncode == 0
    assert "authentication required" in cluster.run(["skopeo", "inspect", name], user="bob").stderr


def test_two_users_run_on_one_node_at_once(cluster: Cluster) -> None:
    meet = "touch /shared/met-$USER; for try in $(seq 100); do [ -e /shared/met-{} ] && exit 0; sleep 0.1; done; exit 9"
    argv = ["sbatch", "--wait", "--partition=shared", "-w", "n1", "--output=/dev/null"]
    with subprocess.Popen(cluster.members["login"].argv([*argv, "--wrap", meet.format("bob")], "alice")) as first:
        second = cluster.run([*argv, "--wrap", meet.format("alice")], user="bob")
    assert (first.returncode, second.returncode) == (0, 0)


def test_status_and_output_of_a_job_come_back(cluster: Cluster) -> None:
    job = cluster.sbatch("#!/bin/sh\necho $SLURM_JOB_NODELIST; exit 3", "-N2")
    assert (job.state, job.exit_code, job.output) == ("FAILED", 3, "n[1-2]\n")


def test_a_refused_job_says_why(cluster: Cluster) -> None:
    with pytest.raises(RefusedError, match=r"(?i)partition"):
        cluster.sbatch("#!/bin/sh\ntrue", "--partition=absent")


def test_nodes_are_idle_and_clean_after_jobs(cluster: Cluster) -> None:
    cluster.sbatch("#!/bin/sh\nsrun true", "-N2")
    assert {name: cluster.node_state(name) for name in cluster.nodes} == {"n1": "idle", "n2": "idle"}
    assert not any(cluster.leftovers().values())


def test_leftovers_are_seen(cluster: Cluster) -> None:
    """What reports "nothing" everywhere else has to be able to report something."""
    script = """
    mkdir -p /run/spank-container/jobs/7
    truncate -s 1M /shared/backing
    losetup --find --show /shared/backing > /run/loop
    mount -t tmpfs left /run/spank-container/jobs/7
    touch /run/spank-container/jobs/7/mnt.ns
    setsid -f unshare --mount sleep 7.77 > /dev/null 2>&1
    until pgrep --exact --full "sleep 7.77" > /dev/null; do sleep 0.01; done
    """
    node = cluster.members["n1"]
    node.sh(script)
    try:
        seen = cluster.leftovers()
    finally:
        node.sh("umount /run/spank-container/jobs/7; losetup -d $(cat /run/loop); rm -r /run/spank-container/jobs/7")
        node.sh("pkill --exact --full 'sleep 7.77'; rm /shared/backing")
    assert seen["n1"].mounts == ("/run/spank-container/jobs/7",)
    assert "/run/spank-container/jobs/7/mnt.ns" in seen["n1"].files
    assert len(seen["n1"].namespaces) == 1
    assert seen["n1"].processes == ("sleep 7.77",)
    assert [entry.split(": ")[1] for entry in seen["machine"].loops] == ["/shared/backing"]
    assert not seen["n2"]


# On the default release, with clusters of their own.


def sandbox(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SANDBOX, *arguments], cwd=CHECKOUT, input=stdin, capture_output=True, text=True, check=False
    )


def test_run_without_a_cluster_starts_one_and_takes_it_down() -> None:
    before = Machine.now()
    done = sandbox("run", "--user", "bob", "--", "sh", "-c", "cat; echo words >&2; exit 7", stdin="hello\n")
    assert (done.returncode, done.stdout) == (7, "hello\n")
    assert done.stderr.endswith("words\n")
    assert before.comes_back()


def test_a_terminal_stays_a_terminal() -> None:
    command = f"{' '.join(SANDBOX)} run -- sh -c 'test -t 0 && test -t 1'"
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"], cwd=CHECKOUT, check=False
    )
    assert done.returncode == 0


def test_a_second_cluster_is_refused() -> None:
    sandbox("up", "--nodes", "1")
    try:
        done = sandbox("up")
        assert "a cluster is up already (Slurm 24.11, 1 nodes" in done.stderr
        assert done.returncode == 1
        assert sandbox("run", "--", "hostname").stdout == "login\n"
    finally:
        sandbox("down")


def test_down_detaches_what_nodes_left_attached() -> None:
    """On the disk that nodes share, on a node's own file system, and unlinked, as a volume's backing file is."""
    sandbox("up", "--nodes", "1")
    script = """
    for file in /shared/alice/one /run/two /shared/alice/three; do
        truncate -s 1M $file
        losetup --find --show $file
    done
    rm /shared/alice/three
    """
    try:
        devices = set(sandbox("run", "--node", "n1", "--", "sh", "-c", script).stdout.split())
        assert len(devices) == 3
        assert devices <= {loop.device for loop in loops.attached()}
    finally:
        sandbox("down")
    assert not devices & {loop.device for loop in loops.attached()}


def test_sixteen_nodes() -> None:
    done = sandbox("run", "--nodes", "16", "--user", "alice", "--", "srun", "-N16", "hostname")
    assert len(set(done.stdout.split())) == 16, done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after", [0.3, 0.5, 0.7])
def test_a_start_that_is_cut_off_leaves_nothing(how: signal.Signals, after: float) -> None:
    before = Machine.now()
    # A shell that runs the tests in the background has made the signal an ignored one.
    command = ["env", "--default-signal=INT", *SANDBOX, "up"]
    with subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        time.sleep(after)
        os.killpg(process.pid, how)
    if how is signal.SIGKILL:
        sandbox("down")
    assert before.comes_back()


def test_down_is_good_at_any_time() -> None:
    assert (sandbox("down").returncode, sandbox("down").returncode) == (0, 0)
