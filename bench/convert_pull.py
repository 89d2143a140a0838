"""Our contender of `bench convert`, as a program: pull IMAGE of the registry at ADDRESS into STORE.

How much memory it took itself, without skopeo and mksquashfs, goes to STORE/memory, in bytes.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from spank_container.images.pull import pull
from spank_container.images.registry import Registry, passed_environment
from spank_container.images.store import Store
from spank_container.values.image_ref import RegistryRef

if __name__ == "__main__":
    address, image, store = sys.argv[1:]
    pull(
        RegistryRef(address, image, "latest"),
        Store(Path(store)),
        None,
        Registry(environment=passed_environment(os.environ)),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    Path(store, "memory").write_text(str(peak))
