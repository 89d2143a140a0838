"""Request -> facts -> plan, by this node's configuration: what a Prolog does before it acts.

A module of its own because only a Prolog imports it: an Epilog undoes what the record says, and would pay for nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spank_container.errors import SiteError, UserError
from spank_container.facts import gather_facts
from spank_container.images.awaiting import await_image
from spank_container.images.store import Store
from spank_container.log import log
from spank_container.plan.build import Container, build_join, build_plan
from spank_container.request import parse_request, surrounded
from spank_container.site_config import CONFIG_FILE, SiteConfig, compile_config, load_config, read_compiled, stamp
from spank_container.state import Record, write_whole
from spank_container.values.host_facts import SLURMS_OWN
from spank_container.values.volume import is_below

if TYPE_CHECKING:
    from spank_container.request import JobRequest
    from spank_container.state import ContainerDirectory, StateDirectory
    from spank_container.values.host_facts import HostFacts
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.image_ref import Digest
    from spank_container.values.job import Job


def plan_container(state: StateDirectory, directory: ContainerDirectory, job: Job, text: str) -> Record:
    """The plan for what `text`, a job's or a step's request, asks for. Raises UserError for what cannot be given."""
    request = parse_request(text)
    job = surrounded(job, request)
    config = site_config(state)
    facts = gather_facts(job, config.container.name_service_timeout)
    if request.joins:
        return _plan_join(state.job(job.id), directory, request, facts, config)
    container = Container(directory.name, str(directory.pin))
    plan = build_plan(request, job, facts, _image(request, facts, config), config, container)
    return Record(job.restart_count, plan, text, _nodes_own(request, facts))


def _plan_join(
    joined: ContainerDirectory, directory: ContainerDirectory, request: JobRequest, facts: HostFacts, config: SiteConfig
) -> Record:
    """Of the job's own record, and not of what the step's request says, since that may be forged."""
    record = joined.record() if joined.is_ready() else None
    if record is None:
        raise UserError("this job has no container here that a step could join", hint="give this srun an --image")
    of_job = parse_request(record.request)
    request = replace(request, image=of_job.image, typed=of_job.typed)
    image = _image_in_use(Store(Path(config.images.store)), request.image.digest)
    plan = build_join(request, facts, image, config, str(directory.pin), str(joined.pin))
    return replace(record, plan=plan, request=request.to_json())


def _image_in_use(store: Store, digest: Digest) -> ImageMeta:
    """Even one that was removed since the job began."""
    parts = [(part, kind) for part in (store, store.private) for kind in ("json", "removed")]
    there = (part.meta(digest, kind) for part, kind in parts if part.beside(digest, kind).exists())
    return next(there, None) or store.meta(digest)  # which says what is right for an absent one


def _image(request: JobRequest, facts: HostFacts, config: SiteConfig) -> ImageMeta:
    store = Store(Path(config.images.store))
    if request.pulling:
        gids = {facts.account.gid, *(group.gid for group in facts.groups)}
        await_image(store, request.image, config.images.pull_timeout, facts.account.uid, gids)
    digest = request.image.digest
    return (store if store.has(digest) or not store.private.has(digest) else store.private).meta(digest)


def _nodes_own(request: JobRequest, facts: HostFacts) -> tuple[str, ...]:
    """Less what would hide a volume of the user's."""
    targets = [volume.target for volume in request.volumes]
    hiding = [any(is_below(target, place) for target in targets) for place in SLURMS_OWN]
    return tuple("-" if hides else identity for hides, identity in zip(hiding, facts.tmp, strict=True))


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
