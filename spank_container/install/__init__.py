"""`spank-container install`: facts, then a plan of files, then what differs, then writing that.

Owns PREFIX (but for the venv, which is pip's), the hooks and snippets in Slurm's folder, and config.toml until the site
changes it. Never edits slurm.conf or plugstack.conf: it prints the lines that are missing there.
"""

from __future__ import annotations

from spank_container.install.advice import missing_lines, refuse_uninstall
from spank_container.install.apply import apply, remove
from spank_container.install.compare import Report, compare, compare_removal
from spank_container.install.facts import gather
from spank_container.install.manifest import read_manifest
from spank_container.install.plan import InstallOptions, SharedFile, plan_files

__all__ = ["InstallOptions", "Report", "SharedFile", "install", "uninstall"]


def install(options: InstallOptions, shared: tuple[SharedFile, ...] = ()) -> Report:
    """Compile the plugin, render the files and put into place what differs; with `dry_run`, only say what would be."""
    planned = plan_files(options, gather(options, shared))
    manifest = read_manifest(options)
    steps = compare(planned, manifest, options.root)
    if not options.dry_run:
        apply(steps, manifest, options)
    return Report(steps, missing_lines(options), options.dry_run)


def uninstall(options: InstallOptions) -> Report:
    """Take away what `install` wrote; a file that the site changed stays, and is named."""
    refuse_uninstall(options)
    manifest = read_manifest(options)
    steps = compare_removal(manifest, options.root)
    if not options.dry_run:
        remove(steps, manifest, options)
    return Report(steps, (), options.dry_run)
