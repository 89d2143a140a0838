"""The story of a container on a node: prolog, epilog, step and sweep.

request -> facts -> plan -> record -> apply -> ready; and undo, from the record. Who must act on an error decides what
becomes of it: a user's is written to `failed`, for the tasks to show, and the node stays; every other is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spank_container.errors import BusyError, SpankContainerError, UserError
from spank_container.executor.image_mounts import unmount_idle
from spank_container.executor.undo import undo
from spank_container.log import log
from spank_container.request import REQUEST_VARIABLE, job_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from spank_container.state import ContainerDirectory, StateDirectory
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
        if _is_this_run(directory, job):
            return
        try:
            undo(state, directory)  # of an earlier run of the job: a requeued job keeps its id
            if REQUEST_VARIABLE in environment:
                _start(state, directory, job, environment[REQUEST_VARIABLE])
        except BusyError as error:
            _fail(directory, job, error)


def _is_this_run(directory: ContainerDirectory, job: Job) -> bool:
    """A slurmd that was restarted runs the Prolog again, beside the job's tasks."""
    if not directory.is_ready():
        return False
    record = directory.record()
    return record is not None and record.restart_count == job.restart_count


def _start(state: StateDirectory, directory: ContainerDirectory, job: Job, request: str) -> None:
    from spank_container.executor.apply import apply  # noqa: PLC0415  # an Epilog need not pay for these two
    from spank_container.planning import plan_container  # noqa: PLC0415

    try:
        record = plan_container(state, directory, job, request)
        directory.create(record)
        apply(record.plan, state, directory, job.node)
        directory.commit()
    except (UserError, BusyError) as error:
        undo(state, directory)
        _fail(directory, job, error)
    except BaseException:
        undo(state, directory)
        raise


def _fail(directory: ContainerDirectory, job: Job, error: SpankContainerError) -> None:
    directory.fail(error.report())
    log(f"job {job.id} gets no container: {error.report()}")


def epilog(environment: Mapping[str, str], state: StateDirectory) -> None:
    """Take back all that this node did for the job; the step's only, where SLURM_STEP_ID is set."""
    job = job_from_environment(environment)
    try:
        _undo_job(state, job.id, job.step)
    except BusyError as error:  # all but what takes long: no reason to take the node out of service
        log(f"job {job.id} is not all gone: {error.report()}")


def _undo_job(state: StateDirectory, number: int, step: int | None = None) -> None:
    if not state.path.exists():
        return
    with state.job_lock(number):
        undo(state, state.job(number, step))


def sweep(state: StateDirectory, live_jobs: Callable[[], Iterable[int]], *, idle_images: bool = False) -> list[int]:
    """Undo what jobs left that do not live any more: a node that crashed, an Epilog that never ran.

    Images that no job uses go when their time is over, or all of them with `idle_images`.

    Slurm is asked after the node: the other way round, a job that starts in between would be taken for dead. Returns
    the ids of the dead. Tries them all before it raises the first error.
    """
    swept: list[int] = []
    errors: list[SpankContainerError] = []
    here = state.jobs()
    for number in set(here) - set(live_jobs()):
        try:
            _undo_job(state, number)
            swept.append(number)
        except SpankContainerError as error:
            errors.append(error)
    unmount_idle(state, at_once=idle_images)
    if errors:
        raise errors[0]
    return sorted(swept)
