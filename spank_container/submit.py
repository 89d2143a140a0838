"""What happens when a job is submitted, as its user on the login node: refuse what cannot work, pin the image."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from spank_container.environment_file import read_environment_file
from spank_container.errors import UserError
from spank_container.executor.scratch import check_place
from spank_container.executor.sources import judge_source, open_readable, unreachable
from spank_container.images.store import Store
from spank_container.kernel.mounts import closing
from spank_container.pinning import Waiting, pin_image
from spank_container.plan.command import command_records
from spank_container.plan.policy import check_policy, source_rules
from spank_container.request import JobRequest, parse_request, parse_volume_options
from spank_container.values.task import TaskSpec, parse_entrypoint, parse_variables, parse_workdir, with_value
from spank_container.values.writable import parse_writable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spank_container.site_config import SiteConfig
    from spank_container.values.volume import VolumeSpec
    from spank_container.values.writable import WritableSpec


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed. None: the option was not given; "": it was, without the value that it may have."""

    image: str | None = None
    volumes: Sequence[str] = ()
    writable: str | None = None
    environment: Sequence[str] = ()
    environment_files: Sequence[str] = ()
    clear_environment: bool = False
    workdir: str | None = None
    entrypoint: str | None = None


def submit(
    options: Options,
    config: SiteConfig,
    environment: Mapping[str, str],
    inherited: str | None = None,
    waiting: Waiting = Waiting(),  # noqa: B008  # frozen: nobody can change the one that all share
) -> JobRequest:
    """The request that the job will carry. `environment` is the user's; `inherited` the request, as JSON, of the job
    that a step belongs to.

    Raises UserError for all that can be known to fail.
    """
    volumes = parse_volume_options(options.volumes)
    for volume in volumes:
        _check_source(volume, config)
    task = _task(options, environment)
    if options.image is None:
        request = _of_job(options, volumes, task, inherited)
    else:  # what may have to be pulled comes after all that may be refused
        image, pulling = pin_image(options.image, config, environment, waiting)
        request = JobRequest(image, volumes, task=task, writable=_writable(options), pulling=pulling)
        request = replace(request, typed="" if options.image == str(image.reference) else options.image)
    check_policy(request, os.getuid(), config)
    _check_command(request, config)
    return request


def _task(options: Options, environment: Mapping[str, str]) -> TaskSpec:
    """An --image-env counts before every file, as with Docker and Shifter."""
    from_files = [setting for path in options.environment_files for setting in read_environment_file(path)]
    typed = [with_value(setting, environment) for setting in options.environment]
    return TaskSpec(
        parse_variables([*from_files, *typed]),
        options.clear_environment,
        None if options.workdir is None else parse_workdir(options.workdir),
        None if options.entrypoint is None else parse_entrypoint(options.entrypoint),
    )


def _writable(options: Options) -> WritableSpec | None:
    return None if options.writable is None else parse_writable(options.writable)


def _of_job(options: Options, volumes: tuple[VolumeSpec, ...], task: TaskSpec, inherited: str | None) -> JobRequest:
    """A step without an image of its own keeps its job's, and what it leaves open of its tasks' is the job's too."""
    if inherited is None:
        _refuse_without_image(options)
    of_job, writable = parse_request(inherited), _writable(options)
    return JobRequest(
        of_job.image,
        volumes,
        task=task.over(of_job.task),
        writable=writable,
        joins=not volumes and writable is None,
        typed=of_job.typed,
    )


def _refuse_without_image(options: Options) -> NoReturn:
    given = {
        "--volume": options.volumes,
        "--image-writable": options.writable is not None,
        "--image-env": options.environment,
        "--image-env-file": options.environment_files,
        "--image-clearenv": options.clear_environment,
        "--image-workdir": options.workdir is not None,
        "--image-entrypoint": options.entrypoint is not None,
    }
    name = next((name for name, is_given in given.items() if is_given), "this")
    raise UserError(f"{name} needs an image", hint="add --image=docker:NAME:TAG")


def _check_command(request: JobRequest, config: SiteConfig) -> None:
    """Whether the image says what is asked of it; where it cannot be read now, the Prolog will look."""
    store = Store(Path(config.images.store))
    if store.has(request.image.digest):
        command_records(request.task, store.meta(request.image.digest))


def _check_source(volume: VolumeSpec, config: SiteConfig) -> None:
    if volume.scratch:
        if not config.scratch.path:
            check_place(volume.source, volume.scratch.size, overcommit=config.scratch.overcommit)
        return
    try:
        with closing(open_readable(volume.source)) as source:
            judge_source(volume.source, source, source_rules(config).and_real(os.path.realpath))
    except OSError as error:
        raise unreachable(volume.source, error) from error
