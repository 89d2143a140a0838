"""Where on the host the sources of users' volumes may lie: by component, and what is denied wins.

Pure: it compares paths. Which path a source really has is for those to find out who have opened it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.values.volume import is_below

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Folders of the host, absolute and normal; an empty `allow` allows every folder.

    `also` is allowed where something is allowed at all, but not for a user to name: it is where links lead.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def fault(self, path: str, *, shown: bool = True) -> tuple[str, str] | None:
        """Why the site does not let `path` be used, and what to do; None where it does.

        What holds a denied folder is refused as well where it is `shown`, since a mount shows all that is below it.
        """
        for place in self.deny:
            if is_below(path, place):
                return f"it is in {place}, which this cluster shows in no container", "name another folder"
            if shown and is_below(place, path):
                return f"it holds {place}, which this cluster shows in no container", "name less of it"
        if self.allow and not any(is_below(path, place) for place in (*self.allow, *self.also)):
            return "this cluster does not allow it", f"volumes may be in {', '.join(self.allow)}"
        return None

    def makes_read_only(self, path: str) -> bool:
        """Whether a mount of `path` would show something that is to be read-only; it is read-only as a whole then."""
        return any(is_below(path, place) or is_below(place, path) for place in self.read_only)

    def and_real(self, real_path: Callable[[str], str]) -> SourceRules:
        """With the places that these paths lead to on this node as well: /scratch may be a link to /lustre/scratch."""
        also = (*self.also, *map(real_path, (*self.allow, *self.also)))
        return SourceRules(self.allow, _and_real(self.deny, real_path), _and_real(self.read_only, real_path), also)


def _and_real(paths: tuple[str, ...], real_path: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*paths, *map(real_path, paths)]))
