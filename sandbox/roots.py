"""The root file systems of nodes: Debian with the Slurm of one release, built once and never written afterwards.

Built with debootstrap and apt from the mirror that this machine's own apt uses. No daemon starts while they are built.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cache import CACHE, digest, kept
from sandbox.chroot import CONTAINED, run_in_root
from sandbox.command import SandboxError, run

if TYPE_CHECKING:
    from sandbox.releases import Release

SCRIPTS = Path("/usr/share/debootstrap/scripts")

# slurmctld and docker-registry only run on the login node; one root for all nodes costs nothing more.
PACKAGES = """\
slurmctld slurmd slurm-client libslurm-dev munge
gcc libc6-dev python3 python3-venv environment-modules
skopeo squashfs-tools xfsprogs e2fsprogs util-linux iproute2 procps ca-certificates
docker-registry apache2-utils busybox-static tini
"""

# dpkg's own hook for "start nothing here"; the node starts what it wants itself.
POLICY = """
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/sandbox
"""
# A mirror may hold a frozen copy of a release that still moves, whose Release file has run out; it is signed all the same.
INSTALL = f"""
apt-get -qq update -o Acquire::Check-Valid-Until=false
apt-get -qq install --yes --no-install-recommends -o APT::Keep-Downloaded-Packages=true {" ".join(PACKAGES.split())}
rm -rf /var/lib/apt/lists/*
"""
USERS = """
groupadd --gid 3000 science
for user in alice:2001 bob:2002; do
    name=${user%:*} uid=${user#*:}
    groupadd --gid $uid $name
    groupadd --gid $((uid + 1000)) project-$name
    useradd --uid $uid --gid $uid --groups science,project-$name --no-create-home --shell /bin/bash $name
done
echo /opt/spank-container/modulefiles >> /etc/environment-modules/modulespath
rm -f /etc/hostname /etc/hosts /etc/resolv.conf
mkdir -p /shared
"""


def mirror() -> str:
    """The Debian mirror of this machine's own apt, so that what reaches packages here reaches them there."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"])
    for line in listed.splitlines():
        uri, suite = line.split()
        if "-" not in suite:  # bookworm-updates and bookworm-security hold no other releases
            return uri
    raise SandboxError("apt knows no Debian mirror on this machine; put one in /etc/apt/sources.list")


def minbase(suite: str) -> Path:
    """A minimal Debian of `suite`, unchanged."""
    return kept(f"minbase-{suite}", digest("1"), lambda root: _debootstrap(suite, root))


def _debootstrap(suite: str, root: Path) -> None:
    archive = CACHE / "debs" / suite
    archive.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        *CONTAINED,
        "debootstrap",
        "--variant=minbase",
        f"--cache-dir={archive}",
        suite,
        root,
        mirror(),
    ]
    if not (SCRIPTS / suite).exists():
        # A debootstrap that is older than the release lacks its link; all releases since have used sid's script.
        command.append(SCRIPTS / "sid")
    run(command)


def slurm_root(release: Release) -> Path:
    """A node's root without spank-container."""
    recipe = digest(POLICY, INSTALL, USERS, release.suite)
    return kept(f"root-{release.slurm}", recipe, lambda root: _install(release, root))


def _install(release: Release, root: Path) -> None:
    run(["cp", "-a", "--reflink=auto", f"{minbase(release.suite)}/.", root])
    run(["cp", "/etc/resolv.conf", "/etc/hosts", root / "etc"])
    archive = CACHE / "debs" / f"{release.suite}-apt"
    (archive / "partial").mkdir(parents=True, exist_ok=True)
    run_in_root(root, POLICY + INSTALL, binds={archive: "/var/cache/apt/archives"})
    run_in_root(root, USERS)
