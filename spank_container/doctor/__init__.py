"""`spank-container check`: looks at everything that a job needs here, and says what to do. Changes nothing.

Works for root and for users; what a user cannot see is said, not guessed. Functions that judge take what was seen as
values; those that look are in the same module, below them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spank_container.doctor.findings import Finding, exit_code, to_json, to_text
from spank_container.doctor.node import check_kernel, check_support, check_tools
from spank_container.doctor.site import check_site
from spank_container.doctor.slurm import check_slurm
from spank_container.doctor.state import check_configuration, check_state, check_store
from spank_container.install import InstallOptions
from spank_container.install.manifest import installed_options
from spank_container.install.plan import is_plain

__all__ = ["Finding", "check", "exit_code", "to_json", "to_text"]


def check() -> tuple[Finding, ...]:
    """Everything, in the order in which it should be put right."""
    config, configuration = check_configuration()
    return (
        *check_kernel(config.scratch.filesystems),
        *check_tools(config.scratch.filesystems),
        *check_support(),
        *configuration,
        *check_slurm(_installed()),
        *check_store(Path(config.images.store)),
        *check_site(config),
        *check_state(),
    )


def _installed() -> InstallOptions:
    """Where this was installed to. The venv lies in the prefix, unless somebody put it elsewhere."""
    default = InstallOptions()
    beside = Path(sys.prefix).parent
    prefixes = [beside, default.prefix] if is_plain(beside) else [default.prefix]
    return next(filter(None, map(installed_options, prefixes)), default)
