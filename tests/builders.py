"""Values with defaults that make a test three lines: the job 12 of alice's, on n1 and n2, in debian:trixie.

For a member that has no argument here there is dataclasses.replace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spank_container.images.store import Store
from spank_container.plan.build import Container, build_plan
from spank_container.request import JobRequest, parse_volume_options
from spank_container.site_config import ContainerConfig, ImagesConfig, ScratchConfig, SiteConfig
from spank_container.values.host_facts import Account, Group, HostFacts
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest, PinnedImage, parse_image_ref
from spank_container.values.job import Job
from spank_container.values.volume import HostPath

if TYPE_CHECKING:
    from pathlib import Path

    from spank_container.plan.ops import MountPlan

DIGEST = Digest("sha256:" + "0123456789abcdef" * 4)
OTHER_DIGEST = Digest("sha256:" + "f" * 64)
SUPPORT = HostPath("/venv/spank_container/support/container")
CONTAINER = Container("12", "/run/spank-container/jobs/12/mnt.ns")


def request(*volumes: str, image: str = "docker:debian:trixie", digest: Digest = DIGEST) -> JobRequest:
    return JobRequest(PinnedImage(parse_image_ref(image), digest), parse_volume_options(volumes))


def job(
    workdir: str | None = "/home/alice/run", *, uid: int = 1001, nodes: str = "n[1-2]", cpus_per_node: str = "2(x2)"
) -> Job:
    return Job(
        id=12,
        uid=uid,
        gid=uid,
        user="alice",
        node="n1",
        workdir=None if workdir is None else HostPath(workdir),
        nodes=nodes,
        cpus_per_node=cpus_per_node,
    )


def account(*, uid: int = 1001, gecos: str = "Alice Liddell", home: str = "/home/alice") -> Account:
    return Account("alice", uid, uid, gecos, home, "/bin/bash")


def facts(
    owner: Account | None = None,
    *,
    groups: tuple[Group, ...] = (Group("alice", 1001), Group("physics", 2000)),
    files: tuple[str, ...] = ("/etc/hosts", "/etc/localtime", "/etc/resolv.conf"),
) -> HostFacts:
    return HostFacts(
        account=owner or account(),
        groups=groups,
        hosts=(("n1", 2), ("n2", 2)),
        support=SUPPORT,
        files=frozenset(map(HostPath, files)),
    )


_PASSWD = "root:x:0:0:root:/root:/bin/sh\n"  # noqa: S105  # a file, not a password


def image(*environment: str, passwd: str = _PASSWD, group: str = "root:x:0:\n") -> ImageMeta:
    return ImageMeta(
        digest=DIGEST,
        architecture="amd64",
        size=4096,
        environment=environment or ("PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"),
        passwd=passwd,
        group=group,
    )


def config(scratch: ScratchConfig | None = None, container: ContainerConfig | None = None) -> SiteConfig:
    return SiteConfig(ImagesConfig("/shared/images"), scratch or ScratchConfig(), container or ContainerConfig())


def plan(
    *volumes: str,
    of: Job | None = None,
    on: HostFacts | None = None,
    under: SiteConfig | None = None,
    source: ImageMeta | None = None,
) -> MountPlan:
    """The plan of a job `of` alice's with these volumes, `on` a node, `under` a configuration."""
    return build_plan(request(*volumes), of or job(), on or facts(), source or image(), under or config(), CONTAINER)


def stocked(folder: Path, meta: ImageMeta) -> SiteConfig:
    """A cluster with one image in its store, debian:trixie, which root may use, as the tests are root."""
    store = Store(folder / "store")
    store.root.mkdir()

    def convert(path: Path) -> ImageMeta:
        path.write_bytes(b"squashfs")
        return meta

    store.add(meta.digest, convert)
    reference = parse_image_ref("debian:trixie")
    store.tag(reference, meta.digest)  # type: ignore[arg-type]  # no ImageId
    return replace(config(container=ContainerConfig(allow_root=True)), images=ImagesConfig(str(store.root)))
