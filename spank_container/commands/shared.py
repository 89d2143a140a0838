"""What a shell and man(1) find without being told: manual pages and completions, for `spank-container install`."""

from __future__ import annotations

from pathlib import Path

from spank_container import commands
from spank_container.commands.completion import completion
from spank_container.commands.manual import manual_pages
from spank_container.install import SharedFile

# By shell: the path below PREFIX/share, and where it looks on Debian and RHEL. fish looks in /usr/local for nobody.
_COMPLETIONS = {
    "bash": (
        "bash-completion/completions/spank-container",
        "/usr/local/share/bash-completion/completions/spank-container",
    ),
    "zsh": ("zsh/site-functions/_spank-container", "/usr/local/share/zsh/site-functions/_spank-container"),
    "fish": ("fish/vendor_completions.d/spank-container.fish", "/etc/fish/completions/spank-container.fish"),
}
_MANUAL = Path("/usr/local/share/man")  # for /usr/local/bin, which has a link to the program


def shared_files() -> tuple[SharedFile, ...]:
    """shifter and shifterimg are on nobody's PATH without the module; man(1) finds their pages beside them then."""
    program = commands.program()
    pages = manual_pages(program, commands.EXAMPLES, commands.STATUSES)
    return (
        *(SharedFile(path, completion(program, shell), Path(link)) for shell, (path, link) in _COMPLETIONS.items()),
        *(
            SharedFile(f"man/{path}", text, _MANUAL / path if "spank-container" in path else None)
            for path, text in pages.items()
        ),
    )
