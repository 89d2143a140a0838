"""The story of a container on a node: prolog, epilog, step and sweep.

request -> facts -> plan -> record -> apply -> ready; and undo, from the record. Who must act on an error decides what
becomes of it: a user's is written to `failed`, for the tasks to show, and the node stays; every other is raised.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SiteError, SpankContainerError, UserError
from spank_container.executor.apply import apply
from spank_container.executor.undo import undo
from spank_container.facts import gather_facts
from spank_container.images.store import Store
from spank_container.log import log
from spank_container.plan.build import Container, build_plan
from spank_container.request import REQUEST_VARIABLE, job_from_environment, parse_request
from spank_container.site_config import CONFIG_FILE, SiteConfig, compile_config, load_config, read_compiled, stamp
from spank_container.state import Record, StateDirectory, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spank_container.state import ContainerDirectory
    from spank_container.values.job import Job


def prolog(environment: Mapping[str, str], state: StateDirectory) -> None:
    """Build the job's container, if it asked for one; also the step's, where SLURM_STEP_ID is set.

    A user's mistake is written to `failed` and is no error here. Raises SiteError or NodeError, with everything
    undone, when the node cannot give a container to anybody.
    """
    job = job_from_environment(environment)
    state.prepare()
    with state.job_lock(job.id):
        directory = state.job(job.id, job.step)
        if not _is_this_run(directory, job):
            undo(state, directory)  # of an earlier run of the job: a requeued job keeps its id
            if REQUEST_VARIABLE in environment:
                _start(state, directory, job, environment[REQUEST_VARIABLE])


def _is_this_run(directory: ContainerDirectory, job: Job) -> bool:
    """A slurmd that was restarted runs the Prolog again, beside the job's tasks."""
    if not directory.is_ready():
        return False
    record = directory.record()
    return record is not None and record.restart_count == job.restart_count


def _start(state: StateDirectory, directory: ContainerDirectory, job: Job, request: str) -> None:
    try:
        record = _plan(state, directory, job, request)
        directory.create(record)
        apply(record.plan, state, directory, job.node)
        directory.commit()
    except (UserError, BusyError) as error:
        undo(state, directory)
        directory.fail(error.report())
        log(f"job {job.id} gets no container: {error.report()}")
    except BaseException:
        undo(state, directory)
        raise


def _plan(state: StateDirectory, directory: ContainerDirectory, job: Job, text: str) -> Record:
    request = parse_request(text)
    config = site_config(state)
    image = Store(Path(config.images.store)).meta(request.image.digest)
    container = Container(directory.name, str(directory.pin))
    plan = build_plan(request, job, gather_facts(job), image, config, container)
    return Record(job.restart_count, plan, text)


def epilog(environment: Mapping[str, str], state: StateDirectory) -> None:
    """Take back all that this node did for the job; the step's only, where SLURM_STEP_ID is set."""
    job = job_from_environment(environment)
    _undo_job(state, job.id, job.step)


def _undo_job(state: StateDirectory, number: int, step: int | None = None) -> None:
    if not state.path.exists():
        return
    with state.job_lock(number):
        undo(state, state.job(number, step))


def sweep(state: StateDirectory, live: Iterable[int]) -> list[int]:
    """Undo what jobs left that do not live any more: a node that crashed, an Epilog that never ran.

    Returns their ids. Tries them all before it raises the first error.
    """
    swept: list[int] = []
    errors: list[SpankContainerError] = []
    for number in set(state.jobs()) - set(live):
        try:
            _undo_job(state, number)
            swept.append(number)
        except SpankContainerError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return sorted(swept)


def site_config(state: StateDirectory, path: Path = CONFIG_FILE) -> SiteConfig:
    """The configuration as hooks read it: compiled once after each change of the file.

    A broken edit keeps the last good form and says so in the log; with no good form it is a SiteError.
    """
    compiled = state.path / "config.json"
    last_good: SiteConfig | None = None
    now = stamp(path.stat() if path.exists() else None)
    try:
        last_good, then = read_compiled(compiled.read_text())
        if then == now:
            return last_good
    except (FileNotFoundError, ValueError, KeyError, TypeError, json.JSONDecodeError):
        pass  # never compiled, or by another version
    try:
        config = load_config(path)
    except SiteError as error:
        if last_good is None:
            raise
        log(f"the configuration is broken, its last good form stays in use: {error.report()}")
        return last_good
    write_whole(compiled, compile_config(config, now))
    return config
