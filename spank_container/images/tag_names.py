"""What the files are called that say which image a reference means, and which reference a file is about.

    REGISTRY/REPOSITORY/:TAG and /@DIGEST       custom/NAME/:TAG for what was imported
    each with +ARCHITECTURE at its end where a site asks for another architecture than that of its own machine

":", "@" and "+" are in no repository and no tag, so the tag `b` of `a` never meets the repository `a/b`.
"""

from __future__ import annotations

from pathlib import PurePath

from spank_container.values.image_ref import ImportedRef, RegistryRef

PATTERN = "[:@]*"


def tag_file(ref: RegistryRef | ImportedRef, architecture: str) -> PurePath:
    """Below the folder of all tags."""
    end = f"+{architecture}" if architecture else ""
    if isinstance(ref, ImportedRef):
        return PurePath("custom", ref.repository, f":{ref.tag}{end}")
    name = f"@{ref.digest}" if ref.digest else f":{ref.tag}"
    return PurePath(ref.registry, ref.repository, f"{name}{end}")


def tagged_name(file: PurePath) -> str:
    """As typed after --image=, for a file below the folder of all tags."""
    name = f"{file.parent}{file.name.partition('+')[0]}"
    kind, _, imported = name.partition("/")
    return f"custom:{imported}" if kind == "custom" else f"docker:{name}"
