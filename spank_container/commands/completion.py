"""What the shells need to complete our command line, made from our parsers by shtab; images by their names in the store.

shtab is the administrator's extra: `spank-container install` puts into place what is printed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spank_container.errors import SiteError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from spank_container.commands.verbs import Verb, VerbParser, Verbs

SHELLS = ("bash", "zsh", "fish")

_NAMES = "spank-container images 2> /dev/null | cut -f 1"
_IMAGES: dict[str, Any] = {
    "bash": "_spank_container_images",
    "zsh": "_spank_container_images",
    "fish": f"({_NAMES})",
    "preamble": {
        "bash": f'_spank_container_images() {{ compgen -W "$({_NAMES})" -- "$1"; }}',
        "zsh": f'_spank_container_images() {{ compadd -- ${{(f)"$({_NAMES})"}}; }}',
    },
}
# A colon ends a word for bash, and the names of images have colons. bash-completion, which loads this, can join such
# words again; without it, names are not completed beyond their first colon.
_JOIN_AT_COLONS = """
_spank_container() {
  declare -F _get_comp_words_by_ref __ltrim_colon_completions > /dev/null || { _shtab_spank_container; return; }
  local cur words cword
  _get_comp_words_by_ref -n : cur words cword
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$cword
  _shtab_spank_container
  __ltrim_colon_completions "$cur"
}
complete -o bashdefault -F _spank_container spank-container
"""


def add_verbs(verbs: Verbs) -> None:
    completion = verbs.add(
        "completion",
        "print what a shell needs to complete this command line",
        "`spank-container install` has put it where new shells find it; this is for places that it did not think of.",
        [("completion bash > ~/.local/share/bash-completion/completions/spank-container", "for yourself alone")],
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    completion.set_defaults(run=_completion)


def _completion(arguments: argparse.Namespace) -> None:
    from spank_container.commands import program  # noqa: PLC0415  # which has imported this module

    print(completion(program(), arguments.shell))


def completion(parser: VerbParser, shell: str) -> str:
    """A script of `shell`'s. Raises SiteError where shtab is not installed."""
    try:
        import shtab  # noqa: PLC0415  # see the module's docstring
    except ImportError as error:
        raise SiteError("shtab is not installed", hint="pip install 'spank-container[admin]'") from error
    completers = {"REF": _IMAGES, "FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
    for verb in _all(parser.verbs):
        for action in verb.parser._actions:  # noqa: SLF001  # argparse has no other list of them, and shtab reads this
            if action.metavar in completers:
                action.complete = completers[action.metavar]  # type: ignore[attr-defined]  # shtab's way
    text = shtab.complete(parser, shell)
    return text + _JOIN_AT_COLONS if shell == "bash" else text


def _all(verbs: Iterable[Verb]) -> Iterable[Verb]:
    for verb in verbs:
        yield from verb.leaves()
