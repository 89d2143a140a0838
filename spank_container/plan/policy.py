"""What the site allows: checked at submit, for the user's sake, and again on the node, for the site's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spank_container.errors import UserError
from spank_container.values.access import unknown_image
from spank_container.values.size import format_size, parse_size
from spank_container.values.source_rules import SourceRules
from spank_container.values.volume import host_path, is_protected, normal

if TYPE_CHECKING:
    from spank_container.request import JobRequest
    from spank_container.site_config import SiteConfig
    from spank_container.values.host_facts import HostFacts
    from spank_container.values.image_meta import ImageMeta
    from spank_container.values.volume import ScratchSpec


def check_policy(request: JobRequest, uid: int, config: SiteConfig) -> None:
    """Raises UserError for the first thing in `request` that the site does not allow to the user `uid`."""
    if uid == 0 and not config.container.allow_root:
        raise UserError("root's jobs get no container on this cluster", hint="submit as an ordinary user")
    rules = source_rules(config)
    for volume in request.volumes:
        if volume.scratch:
            _check_scratch(volume.scratch, config)
        if not (volume.scratch and config.scratch.path):  # else the site's path is used, and this one means nothing
            check_source(volume.source, rules, shown=volume.scratch is None)


def check_access(image: ImageMeta, facts: HostFacts) -> None:
    """Whoever may not use a private image reads what he would read if there were none."""
    gids = {group.gid for group in facts.groups} | {facts.account.gid}
    if image.access and not image.access.allows(facts.account.uid, gids):
        raise unknown_image(image.digest)


def source_rules(config: SiteConfig) -> SourceRules:
    """The site's rules for sources, as a value."""
    site = config.volumes
    return SourceRules(*(tuple(map(normal, paths)) for paths in (site.allow, site.deny, site.read_only)))


def rules_on_node(config: SiteConfig, home: str) -> SourceRules:
    """Where sources may really lie. In the home directory they may, since every container shows it, unless denied."""
    rules = source_rules(config)
    own = host_path(home)
    return replace(rules, also=(own,)) if rules.allow and own and not is_protected(own) else rules


def check_source(source: str, rules: SourceRules, real: str = "", *, shown: bool = True) -> None:
    """Raises UserError where the site does not let `source` be used, as it is written or as it really is."""
    if fault := rules.fault(real or source, shown=shown):
        reason, hint = fault
        leads = f" leads to {real}" if real not in {"", source} else ""
        raise UserError(f"--volume: {source}{leads}: {reason}", hint)


def _check_scratch(scratch: ScratchSpec, config: SiteConfig) -> None:
    limit = config.scratch.max_size
    if limit and scratch.size > parse_size(limit):
        raise UserError(
            f"--volume: a perNodeCache of {format_size(scratch.size)} is larger than this cluster allows",
            hint=f"ask for {limit} at most",
        )
    if scratch.filesystem not in config.scratch.filesystems:
        raise UserError(
            f"--volume: fs={scratch.filesystem} is not allowed on this cluster",
            hint=f"use fs={config.scratch.filesystems[0]}"
            if config.scratch.filesystems
            else "this cluster gives no perNodeCache",
        )
