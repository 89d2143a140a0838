"""Option text and Slurm's environment -> values; the only reader of those names.

Everything here comes from a user, on the node too: `SPANK_CONTAINER_REQUEST` can be forged, so it is parsed from
scratch by the same parsers that read the options. pydantic is not used, since every hook would pay for its import.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from spank_container.errors import NodeError, UserError
from spank_container.values.image_ref import ImageRef, PinnedImage, parse_digest, parse_image_ref
from spank_container.values.job import Job, StepSurroundings
from spank_container.values.task import TaskSpec, parse_entrypoint, parse_variables, parse_workdir
from spank_container.values.volume import VolumeSpec, host_path, parse_volumes
from spank_container.values.writable import WritableSpec, parse_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REQUEST_VARIABLE = "SPANK_CONTAINER_REQUEST"
_VERSION = 1
_LONGEST = 64 * 1024
_MOST_VOLUMES = 128


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What the user asked for, with the image resolved; no two volumes have the same target.

    A step's own request carries its `surroundings`, which decide nothing but /var/hostsfile and the folder shown; one
    that `joins` runs in its job's own container. `typed` is the image in the user's words. While the image is `pulling`
    a node may wait for it.
    """

    image: PinnedImage
    volumes: tuple[VolumeSpec, ...] = ()
    surroundings: StepSurroundings | None = None
    task: TaskSpec = TaskSpec()  # noqa: RUF009  # frozen: nobody can change the one that all share
    writable: WritableSpec | None = None
    joins: bool = False
    typed: str = ""
    pulling: bool = False

    def __post_init__(self) -> None:
        """Raises UserError for a writable container in a cache that there is not."""
        cache = self.writable and self.writable.cache
        if cache and cache not in {volume.target for volume in self.volumes if volume.scratch}:
            raise UserError(
                f"--image-writable: there is no perNodeCache at {cache}",
                hint=f"add --volume=/PATH/TO/CACHE:{cache}:perNodeCache=size=100G, or give a size",
            )

    @property
    def image_request(self) -> str:
        """The image as typed, less the kind before it: what Shifter calls the image request."""
        canonical = str(self.image.reference)
        return (self.typed or canonical).removeprefix(f"{canonical.partition(':')[0]}:")

    def to_json(self) -> str:
        """Canonical: the same request is always the same text, one line. Raises UserError where Slurm has no room."""
        document: dict[str, object] = {
            "digest": self.image.digest,
            "image": str(self.image.reference),
            "version": _VERSION,
            "volumes": [str(volume) for volume in self.volumes],
        }
        text = json.dumps(document | self._options(), sort_keys=True, separators=(",", ":"))
        if len(text) > _LONGEST:
            raise _too_long()
        return text

    def _options(self) -> dict[str, object]:
        """The members that are left out where they say nothing: "" does say something."""
        options = {
            "surroundings": asdict(self.surroundings) if self.surroundings else None,
            "environment": list(self.task.environment) or None,
            "clear_environment": self.task.clear_environment or None,
            "workdir": self.task.workdir,
            "entrypoint": self.task.entrypoint,
            "writable": None if self.writable is None else str(self.writable),
            "joins": self.joins or None,
            "typed": self.typed or None,
            "pulling": self.pulling or None,
        }
        return {name: value for name, value in options.items() if value is not None}


def parse_volume_options(options: Iterable[str]) -> tuple[VolumeSpec, ...]:
    """All --volume options of a command line; raises UserError when two volumes want the same target."""
    volumes: dict[str, VolumeSpec] = {}
    for option in options:
        for volume in parse_volumes(option):
            other = volumes.setdefault(volume.target, volume)
            if other is not volume:
                raise UserError(
                    f"--volume: {other.source} and {volume.source} have the same target, {volume.target}",
                    hint="give each volume a target of its own",
                )
    if len(volumes) > _MOST_VOLUMES:
        raise UserError(f"--volume: {len(volumes)} volumes are too many", hint=f"{_MOST_VOLUMES} at most")
    return tuple(volumes.values())


def parse_request(text: str) -> JobRequest:
    """Read what `JobRequest.to_json` wrote, or what a user put in its place."""
    if len(text) > _LONGEST:
        raise _too_long()
    try:
        document = _checked(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_ours() from error
    reference = parse_image_ref(document["image"])
    return JobRequest(
        PinnedImage(reference, parse_digest(document["digest"])),
        parse_volume_options(document["volumes"]),
        StepSurroundings(**document["surroundings"]) if "surroundings" in document else None,
        _task(document),
        parse_writable(document["writable"]) if "writable" in document else None,
        "joins" in document,
        _typed(document, reference),
        "pulling" in document,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_surroundings(value: object) -> bool:
    names = {one.name for one in fields(StepSurroundings)}
    return isinstance(value, dict) and value.keys() == names and all(map(_is_text, value.values()))


_REQUIRED: dict[str, Callable[[object], bool]] = {
    "digest": _is_text,
    "image": _is_text,
    "version": lambda value: value == _VERSION,
    "volumes": _is_texts,
}
_MEMBERS: dict[str, Callable[[object], bool]] = _REQUIRED | {
    "surroundings": _is_surroundings,
    "environment": _is_texts,
    "clear_environment": lambda value: value is True,
    "workdir": _is_text,
    "entrypoint": _is_text,
    "writable": _is_text,
    "joins": lambda value: value is True,
    "typed": _is_text,
    "pulling": lambda value: value is True,
}


def _checked(document: Any) -> dict[str, Any]:  # noqa: ANN401  # it is JSON
    """The document, if its members are those that we know, of the right types; else TypeError."""
    if not isinstance(document, dict) or not _REQUIRED.keys() <= document.keys() <= _MEMBERS.keys():
        raise TypeError
    if not all(_MEMBERS[name](value) for name, value in document.items()):
        raise TypeError
    if "joins" in document and (document["volumes"] or "writable" in document):
        raise TypeError  # what it asks for, the job's container has not
    return document


def _task(document: dict[str, Any]) -> TaskSpec:
    return TaskSpec(
        parse_variables(document.get("environment", ())),
        "clear_environment" in document,
        parse_workdir(document["workdir"]) if "workdir" in document else None,
        parse_entrypoint(document["entrypoint"]) if "entrypoint" in document else None,
    )


def _typed(document: dict[str, Any], reference: ImageRef) -> str:
    """It must mean the image that it stands for, since tasks are told it."""
    typed: str = document.get("typed", "")
    if typed and parse_image_ref(typed) != reference:
        raise _not_ours()
    return typed


def surrounded(job: Job, request: JobRequest) -> Job:
    """The job with what its step's request adds; only a step's may, since a Prolog knows better."""
    if job.step is None or request.surroundings is None:
        return job
    more = request.surroundings
    return replace(job, nodes=more.nodes, cpus_per_node=more.cpus_per_node, workdir=host_path(more.workdir))


def step_surroundings(environment: Mapping[str, str], workdir: str) -> StepSurroundings:
    """Of an srun within a job: the job's nodes by Slurm's variables, and where srun was started."""
    nodes, cpus = (environment.get(name, "") for name in ("SLURM_JOB_NODELIST", "SLURM_JOB_CPUS_PER_NODE"))
    return StepSurroundings(nodes, cpus, workdir)


def _too_long() -> UserError:
    return UserError("the job's container request is too long", hint="use fewer or shorter volumes and variables")


def _not_ours() -> UserError:
    return UserError(
        f"{REQUEST_VARIABLE} does not hold a container request",
        hint="do not set it by hand; submit with --image and --volume",
    )


def job_from_environment(environment: Mapping[str, str]) -> Job:
    """The job that this Prolog, Epilog or step is for.

    Slurm's daemons set these from the job's credential; a missing or broken one is the node's fault.
    """
    return Job(
        id=_number(environment, "SLURM_JOB_ID"),
        uid=_number(environment, "SLURM_JOB_UID"),
        gid=_number(environment, "SLURM_JOB_GID"),
        user=environment.get("SLURM_JOB_USER", ""),
        node=environment.get("SLURMD_NODENAME", ""),
        workdir=host_path(environment.get("SLURM_JOB_WORK_DIR", "")),  # without it where it cannot be mounted
        nodes=environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST", ""),
        cpus_per_node=environment.get("SLURM_JOB_CPUS_PER_NODE", ""),
        restart_count=_number(environment, "SLURM_JOB_RESTART_COUNT", default="0"),
        step=_number(environment, "SLURM_STEP_ID") if "SLURM_STEP_ID" in environment else None,
    )


def _number(environment: Mapping[str, str], name: str, default: str | None = None) -> int:
    text = environment.get(name, default)
    if text is None:
        raise NodeError(f"{name} is not set", hint="run this from Slurm's Prolog or Epilog")
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise NodeError(f"{name} is {text!r} and not a number", hint="run this from Slurm's Prolog or Epilog")
    return int(text)
