"""Option text and Slurm's environment -> values; the only reader of those names.

Everything here comes from a user, on the node too: `SPANK_CONTAINER_REQUEST` can be forged, so it is parsed from
scratch by the same parsers that read the options. pydantic is not used, since every hook would pay for its import.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass, replace
from typing import TYPE_CHECKING

from spank_container.errors import NodeError, UserError
from spank_container.values.image_ref import PinnedImage, parse_digest, parse_image_ref
from spank_container.values.job import Job, StepSurroundings
from spank_container.values.volume import VolumeSpec, host_path, parse_volumes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REQUEST_VARIABLE = "SPANK_CONTAINER_REQUEST"
_VERSION = 1
_LONGEST = 64 * 1024
_MOST_VOLUMES = 128


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What the user asked for, with the image resolved; no two volumes have the same target.

    A step's own request carries its `surroundings`, which decide nothing but /var/hostsfile and the folder shown.
    """

    image: PinnedImage
    volumes: tuple[VolumeSpec, ...] = ()
    surroundings: StepSurroundings | None = None

    def to_json(self) -> str:
        """Canonical: the same request is always the same text, one line. Raises UserError where Slurm has no room."""
        document: dict[str, object] = {
            "digest": self.image.digest,
            "image": str(self.image.reference),
            "version": _VERSION,
            "volumes": [str(volume) for volume in self.volumes],
        }
        if self.surroundings:
            document["surroundings"] = asdict(self.surroundings)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        if len(text) > _LONGEST:
            raise _too_long()
        return text


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
        document = json.loads(text)
        surroundings = _surroundings(document)
        image, digest, volumes = _members(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _not_ours() from error
    reference = parse_image_ref(image)
    return JobRequest(PinnedImage(reference, parse_digest(digest)), parse_volume_options(volumes), surroundings)


def _surroundings(document: dict[str, dict[str, str]]) -> StepSurroundings | None:
    """Takes the member out of the document; TypeError for anything but three texts."""
    if "surroundings" not in document:
        return None
    found = StepSurroundings(**document.pop("surroundings"))
    if not all(isinstance(text, str) for text in astuple(found)):
        raise TypeError
    return found


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


def _members(document: object) -> tuple[str, str, list[str]]:
    if not isinstance(document, dict) or document.keys() != {"digest", "image", "version", "volumes"}:
        raise TypeError
    image, digest, volumes = document["image"], document["digest"], document["volumes"]
    if document["version"] != _VERSION or not isinstance(volumes, list):
        raise TypeError
    if not all(isinstance(member, str) for member in (image, digest, *volumes)):
        raise TypeError
    return image, digest, volumes


def _too_long() -> UserError:
    return UserError("the job's container request is too long", hint="use fewer volumes, or shorter paths")


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
