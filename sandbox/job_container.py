"""Slurm's own /tmp and /dev/shm for each job, on a running cluster: job_container/tmpfs, or namespace/tmpfs since 25.11.

The sandbox does without by default, as Slurm does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import services

if TYPE_CHECKING:
    from sandbox.cluster import Cluster

BASE = "/var/spool/job-tmp"
MARK = "# job_container"
TYPE = {"22.05": "JobContainerType=job_container/tmpfs", "24.11": "JobContainerType=job_container/tmpfs"}
# Slurm binds the new namespace to a file in the node's. From Linux 6.18 on the kernel refuses that where the new one has
# the lower number, and each CPU numbers from a batch of its own: so slurmd gets a CPU that is ahead of the node's.
SLURMD = """
mkdir -p /run/pins
mount -t tmpfs pins /run/pins
mount --make-private /run/pins
touch /run/pins/pin
cpu=0
until taskset --cpu-list $cpu unshare --mount=/run/pins/pin true 2> /dev/null; do cpu=$((cpu + 1)); done
umount /run/pins/pin
umount /run/pins
taskset --cpu-list $cpu slurmd
"""


def switch_on(cluster: Cluster, *options: str) -> None:
    """`options` for job_container.conf, as `EntireStepInNS=true`, which 24.11 and later know."""
    kind = TYPE.get(cluster.release.slurm, "NamespaceType=namespace/tmpfs")
    lines = "\n".join(["AutoBasePath=true", f"BasePath={BASE}", *options])
    script = f"echo '{kind} {MARK}' >> /etc/slurm/slurm.conf; cat > /etc/slurm/job_container.conf"
    for member in cluster.members.values():
        member.sh(script, stdin=f"{lines}\n")
    _restart(cluster, SLURMD)


def switch_off(cluster: Cluster) -> None:
    """As it was before."""
    for member in cluster.members.values():
        member.sh(
            f"sed -i '/{MARK}/d' /etc/slurm/slurm.conf; rm -f /etc/slurm/job_container.conf; umount -l {BASE} || true"
        )
    _restart(cluster)


def _restart(cluster: Cluster, slurmd: str = services.SLURMD) -> None:
    login, *compute = cluster.members.values()
    services.restart(login, compute, slurmd)
