"""Request, facts, image and configuration -> the plan. Pure: no file is looked at, nothing is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from spank_container.plan import identity
from spank_container.plan.check import check_plan
from spank_container.plan.command import command_records, files_for_shifter
from spank_container.plan.environment import ALWAYS, SUPPORT, cleared_environment, tasks_environment, tasks_variables
from spank_container.plan.ops import (
    AttachScratch,
    AttachTmp,
    Bind,
    HostOp,
    InsideOp,
    JoinNamespace,
    MakeMountPoint,
    MakeScratch,
    MakeSymlink,
    MakeTmp,
    MountImage,
    MountOp,
    MountPlan,
    MountRoot,
    MountTmpfs,
    PinNamespace,
    WriteFile,
    WriteHostsFile,
)
from spank_container.plan.policy import check_access, check_policy, rules_on_node
from spank_container.plan.site_mounts import site_mounts
from spank_container.values.size import parse_size
from spank_container.values.volume import host_path, is_protected

if TYPE_CHECKING:
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig
    from spank_container.values.host_facts import HostFacts
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.job import Job
    from spank_container.values.source_rules import SourceRules
    from spank_container.values.volume import HostPath, VolumeSpec

# The home and the submit directory appear at their own paths, but never over these: the image has its own.
_IMAGES_OWN = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/boot", "/tmp")
_IMAGES_OWN_TOP = ("/var", "/opt", "/run", "/home", "/mnt", "/srv", "/media", "/root")


@dataclass(frozen=True, slots=True)
class Container:
    """Which container is planned: `name` is unique on the node, `pin` the file that will keep it."""

    name: str
    pin: str


def build_plan(
    request: JobRequest, job: Job, facts: HostFacts, image: ImageMeta, config: SiteConfig, container: Container
) -> MountPlan:
    """The whole plan, checked. Raises UserError for what the site does not allow."""
    check_policy(request, job.uid, config)
    check_access(image, facts)
    owner = (facts.account.uid, facts.account.gid, *(one.gid for one in facts.groups))
    rules = rules_on_node(config, facts.account.home)
    mounts = _by_target(
        _system_mounts(config, facts),
        _own_directories(request, job, facts, owner, rules),
        site_mounts(config, [volume.target for volume in request.volumes]),
        [_volume(volume, f"cache{number}", owner, rules) for number, volume in enumerate(request.volumes)],
    )
    plan = MountPlan(
        host=(
            MountImage(
                squashfs=_squashfs(image, config),
                digest=image.digest.replace(":", "-"),
                lease=container.name,
                keep=config.images.keep_mounted,
                copies=config.images.node_cache,
                copies_size=parse_size(config.images.node_cache_size),
            ),
            *_scratch(request, config, owner),
            *(MakeTmp("/tmp", owner) for mount in mounts if isinstance(mount, AttachTmp)),
            PinNamespace(container.pin),
        ),
        inside=(
            *_generated_files(facts, image, cleared_environment(request, image, config.environment, facts.account)),
            *_mount_points(mounts, request),
            _root(request, config, owner),
            *mounts,
        ),
        environment=_records(request, facts, image, config),
        rules=rules,
        reasons=_reasons(request, facts, image, config),
    )
    check_plan(plan)
    return plan


def build_join(
    request: JobRequest, facts: HostFacts, image: ImageMeta, config: SiteConfig, pin: str, job_pin: str
) -> MountPlan:
    """The plan of a step that runs in its job's own container; `image` is the job's."""
    plan = MountPlan(
        (JoinNamespace(job_pin, pin),),
        (),
        _records(request, facts, image, config),
        reasons=_reasons(request, facts, image, config),
    )
    check_plan(plan)
    return plan


def _squashfs(image: ImageMeta, config: SiteConfig) -> str:
    part = "private/images" if image.access else "images"
    return f"{config.images.store}/{part}/{image.digest.replace(':', '-')}.squashfs"


def _records(request: JobRequest, facts: HostFacts, image: ImageMeta, config: SiteConfig) -> tuple[str, ...]:
    environment = tasks_environment(request, image, config.environment, facts.account)
    return (*environment, *command_records(request.task, image))


def _reasons(
    request: JobRequest, facts: HostFacts, image: ImageMeta, config: SiteConfig
) -> tuple[tuple[str, str], ...]:
    variables = tasks_variables(request, image, config.environment, facts.account)
    return tuple((name, one.why) for name, one in variables.items())


def _system_mounts(config: SiteConfig, facts: HostFacts) -> list[MountOp]:
    return [
        # The host's own: signals, host name and networks stay native, and root's rights on them stay root's.
        *(Bind(tree, tree, devices=True, why=ALWAYS) for tree in ("/proc", "/sys", "/dev")),
        MountTmpfs("/dev/shm", _tmpfs_size(config.container.shm_size), 0o1777, "[container] shm_size"),
        _tmp(config),
        *(Bind(path, path, read_only=True, why=ALWAYS) for path in sorted(facts.files)),
        Bind(facts.support, f"{SUPPORT}/bin", read_only=True, why=ALWAYS),
    ]


def _tmp(config: SiteConfig) -> MountOp:
    why = "[container] tmp"
    match config.container.tmp:
        case "private":
            return AttachTmp("/tmp", why)
        case "host":
            return Bind("/tmp", "/tmp", why=why)
        case _:
            return MountTmpfs("/tmp", _tmpfs_size(config.container.tmp_size), 0o1777, "[container] tmp_size")


def _root(request: JobRequest, config: SiteConfig, owner: tuple[int, ...]) -> MountRoot:
    """The site may make every root writable; a user's own --image-writable still says how."""
    wanted = request.writable
    if wanted is None and not config.container.writable:
        return MountRoot(owner)
    typed = f"={wanted}" if str(wanted) else ""
    why = "[container] writable" if wanted is None else f"--image-writable{typed}"
    if wanted and wanted.cache:
        names = {volume.target: f"cache{number}" for number, volume in enumerate(request.volumes)}
        return MountRoot(owner, cache=names[wanted.cache], why=why)
    size = str(wanted.size) if wanted and wanted.size else _tmpfs_size(config.container.writable_size)
    return MountRoot(owner, size=size, why=why)


def _tmpfs_size(text: str) -> str:
    """As the kernel takes it, which knows 50% but neither 1.5G nor 1e9; tmpfs(5)."""
    return text if text.endswith("%") else str(parse_size(text))


def _own_directories(
    request: JobRequest, job: Job, facts: HostFacts, owner: tuple[int, ...], rules: SourceRules
) -> list[MountOp]:
    """Optional, since a job may well start without them: Slurm itself falls back to /tmp. What lies on a volume of the
    user's is left out, since the user means what the volume has there; so is what a volume may not show, since the
    user chooses the job's directory."""
    wanted = {host_path(job.workdir or ""): "the job's directory", host_path(facts.account.home): "the home directory"}
    shown = {PurePosixPath(path): why for path, why in wanted.items() if path and not _is_images_own(path)}
    covers = [*shown, *(PurePosixPath(volume.target) for volume in request.volumes)]
    return [
        Bind(str(path), str(path), owner, rules.makes_read_only(str(path)), optional=True, why=why)
        for path, why in shown.items()
        if not rules.fault(str(path)) and not any(path != other and path.is_relative_to(other) for other in covers)
    ]


def _is_images_own(path: HostPath) -> bool:
    if path in _IMAGES_OWN_TOP or is_protected(path):
        return True
    return any(PurePosixPath(path).is_relative_to(tree) for tree in _IMAGES_OWN)


def _volume(volume: VolumeSpec, name: str, owner: tuple[int, ...], rules: SourceRules) -> MountOp:
    if volume.scratch:
        return AttachScratch(name, volume.target, f"--volume={volume}")
    forced = rules.makes_read_only(volume.source) and not volume.read_only
    why = f"--volume={volume}{'; read-only by [volumes] read_only' if forced else ''}"
    return Bind(volume.source, volume.target, owner, read_only=volume.read_only or forced, why=why)


def _by_target(*groups: list[MountOp]) -> list[MountOp]:
    """Parents first; of two mounts with one target the later group's, so a user may have a cache on /tmp."""
    chosen = {mount.target: mount for group in groups for mount in group}
    return sorted(chosen.values(), key=lambda mount: PurePosixPath(mount.target).parts)


def _scratch(request: JobRequest, config: SiteConfig, owner: tuple[int, ...]) -> list[HostOp]:
    by_site = config.scratch.path
    return [
        MakeScratch(
            name=f"cache{number}",
            place=by_site or volume.source,
            by_site=bool(by_site),
            size=volume.scratch.size,
            overcommit=config.scratch.overcommit,
            filesystem=volume.scratch.filesystem,
            block_size=volume.scratch.block_size,
            owner=owner,
        )
        for number, volume in enumerate(request.volumes)
        if volume.scratch
    ]


def _generated_files(facts: HostFacts, image: ImageMeta, environment: tuple[str, ...]) -> list[InsideOp]:
    return [
        WriteFile("/etc/passwd", identity.passwd(image.passwd, facts.account), ALWAYS),
        WriteFile("/etc/group", identity.group(image.group, facts.account, facts.groups), ALWAYS),
        WriteFile("/etc/nsswitch.conf", identity.NSSWITCH, ALWAYS),
        WriteHostsFile("/var/hostsfile", facts.hosts, ALWAYS),
        *files_for_shifter(image, environment, ALWAYS),
        MakeSymlink("/opt/udiImage", SUPPORT, ALWAYS),
        MakeSymlink("/etc/mtab", "/proc/self/mounts", ALWAYS),
    ]


def _mount_points(mounts: list[MountOp], request: JobRequest) -> list[InsideOp]:
    """A place for each mount. A link of the image's may move what is the user's; the container's own replaces it."""
    users = {volume.target for volume in request.volumes}
    return [
        MakeMountPoint(
            mount.target,
            directory=None if isinstance(mount, Bind) else True,
            follow=mount.target in users or (isinstance(mount, Bind) and bool(mount.owner)),
            by_user=mount.target in users,
        )
        for mount in mounts
    ]
