"""What users may ask for, and what they may type."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from spank_container.errors import UserError
from spank_container.plan.build import Container, build_plan
from spank_container.request import JobRequest
from spank_container.site_config import (
    ContainerConfig,
    EnvironmentConfig,
    ImagesConfig,
    ScratchConfig,
    SiteConfig,
    VolumesConfig,
)
from spank_container.values.access import Access
from spank_container.values.address import Address
from spank_container.values.host_facts import Account, Group, HostFacts
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest, ImageId, ImageRef, ImportedRef, PinnedImage, RegistryRef
from spank_container.values.job import Job, StepSurroundings
from spank_container.values.site_mount import SiteMount
from spank_container.values.size import parse_size
from spank_container.values.task import THE_IMAGES, TaskSpec
from spank_container.values.variables import is_protected_variable, is_value
from spank_container.values.volume import (
    FILESYSTEMS,
    SMALLEST_SCRATCH,
    ContainerPath,
    HostPath,
    ScratchSpec,
    VolumeSpec,
    is_below,
    is_protected,
)
from spank_container.values.writable import WritableSpec

if TYPE_CHECKING:
    from spank_container.plan.ops import MountPlan

LARGEST = 2**63 - 1
SIZES = st.integers(1, LARGEST) | st.sampled_from(["1K", "300M", "1.5G", "4T", "7E"]).map(parse_size)

# Names that meet each other often, so that nesting, equality and the container's own places come up.
_NAMES = st.sampled_from(["a", "b", "tmp", "mnt", "home", "alice", "etc", "opt", "x y", "é", "日本", "a..b", ".x", "~"])
_ANY_NAME = st.text(
    st.characters(exclude_categories=["C", "Zs", "Zl", "Zp"], exclude_characters='/:;"$'), min_size=1, max_size=8
).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(_NAMES | _ANY_NAME, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
SOURCES = (PATHS | st.just("/")).map(HostPath)
TARGETS = PATHS.filter(lambda path: not is_protected(path)).map(ContainerPath)


@st.composite
def scratches(draw: st.DrawFn) -> ScratchSpec:
    filesystem = draw(st.sampled_from(FILESYSTEMS))
    size = draw(SIZES.filter(lambda size: size >= SMALLEST_SCRATCH[filesystem]))
    return ScratchSpec(size, filesystem, draw(st.sampled_from([None, 1024, 2048, 4096])))


@st.composite
def volumes(draw: st.DrawFn) -> VolumeSpec:
    scratch = draw(st.none() | scratches())
    read_only = scratch is None and draw(st.booleans())
    return VolumeSpec(draw(SOURCES), draw(TARGETS), read_only, scratch)


DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", fullmatch=True).map(Digest)
_TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
_COMPONENTS = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
_REGISTRIES = st.sampled_from(["localhost", "localhost:5000", "r.io", "R.example.org:443", "[::1]:5000", "r:1"])


@st.composite
def registry_refs(draw: st.DrawFn) -> RegistryRef:
    repository = "/".join(draw(st.lists(_COMPONENTS, min_size=1, max_size=3)))
    registry = draw(_REGISTRIES | st.just("docker.io"))
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    digest = draw(st.none() | DIGESTS)
    return RegistryRef(registry, repository, draw(_TAGS if digest is None else _TAGS | st.just("")), digest)


_REPOSITORIES = st.lists(_COMPONENTS, min_size=1, max_size=3).map("/".join)
IMAGE_REFS: st.SearchStrategy[ImageRef] = (
    registry_refs() | st.builds(ImportedRef, _REPOSITORIES, _TAGS) | DIGESTS.map(ImageId)
)
SITE_MOUNTS = st.builds(SiteMount, SOURCES, TARGETS.filter(lambda path: path != "/etc"), st.booleans(), st.booleans())

VARIABLE_NAMES = st.sampled_from(["PATH", "HOME", "A", "LD_LIBRARY_PATH", "_"]) | st.from_regex(
    r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True
).filter(lambda name: not is_protected_variable(name))
VALUES = st.text(max_size=10).filter(is_value)
_SETTINGS = st.dictionaries(VARIABLE_NAMES, VALUES, max_size=4).map(
    lambda settings: tuple(f"{name}={value}" for name, value in settings.items())
)
_ITS_OWN = st.none() | st.just(THE_IMAGES)
TASKS = st.builds(
    TaskSpec,
    _SETTINGS,
    st.booleans(),
    _ITS_OWN | PATHS.filter(lambda path: not is_below(path, "/proc")),
    _ITS_OWN | VALUES,
)
WRITABLES = st.builds(WritableSpec, st.none() | SIZES) | TARGETS.map(lambda target: WritableSpec(cache=target))
SURROUNDINGS = st.builds(StepSurroundings, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))


@st.composite
def requests(draw: st.DrawFn) -> JobRequest:
    """A writable root may be in one of the request's own caches; a step that joins its job has nothing of its own."""
    image = draw(st.builds(PinnedImage, IMAGE_REFS, DIGESTS))
    specs = draw(st.lists(volumes(), max_size=6, unique_by=lambda volume: volume.target).map(tuple))
    caches = [WritableSpec(cache=volume.target) for volume in specs if volume.scratch]
    writable = draw(st.none() | st.builds(WritableSpec, st.none() | SIZES) | st.sampled_from([None, *caches]))
    surroundings = draw(st.none() | SURROUNDINGS)
    joins = not specs and writable is None and draw(st.booleans())
    typed = draw(st.sampled_from(["", str(image.reference)]))
    return JobRequest(image, specs, surroundings, draw(TASKS), writable, joins, typed)


REQUESTS = requests()

# The C library hands on no NUL.
_LINES = st.text(st.characters(exclude_characters="\0"), max_size=30)
_IDS = st.integers(0, 2**32 - 2)
ACCOUNTS = st.builds(
    Account,
    st.just("alice") | _LINES,
    st.integers(1, 2**32 - 2),
    _IDS,
    _LINES,
    PATHS | _LINES,
    st.just("/bin/sh") | _LINES,
)
GROUPS = st.lists(st.builds(Group, st.just("group") | _LINES, _IDS), max_size=3).map(tuple)
FACTS = st.builds(
    HostFacts,
    ACCOUNTS,
    GROUPS,
    st.just((("n1", 2), ("n2", 1))),
    st.just(HostPath("/venv/support")),
    st.frozensets(st.sampled_from(["/etc/hosts", "/etc/resolv.conf", "/etc/localtime"]).map(HostPath)),
)
JOBS = st.builds(
    Job, st.just(12), st.integers(1, 2**32 - 2), st.just(1), st.just("alice"), st.just("n1"), st.none() | SOURCES
)
IMAGES = st.builds(
    ImageMeta,
    digest=DIGESTS,
    architecture=st.just("amd64"),
    size=st.just(1),
    environment=st.lists(st.text() | st.text().map(lambda value: f"A={value}"), max_size=3).map(tuple),
    entrypoint=st.just(("/entry", "--x")) | st.lists(st.text(), max_size=2).map(tuple),
    cmd=st.lists(st.text(), max_size=2).map(tuple),
    workdir=st.just("/app") | st.text(),
    passwd=st.text(),
    group=st.text() | st.text().map(lambda text: f"root:x:0:{text}\n"),
)
_PARTS = st.sampled_from(["50%", "100%", "8G", "1.5G"])
_FOLDERS = st.lists(PATHS, max_size=2).map(tuple)
CONFIGS = st.builds(
    SiteConfig,
    st.builds(ImagesConfig, PATHS),
    st.builds(ScratchConfig, st.just("") | PATHS, st.just(""), st.just(FILESYSTEMS), st.booleans()),
    st.builds(
        ContainerConfig,
        tmp=st.sampled_from(["tmpfs", "private", "host"]),
        tmp_size=_PARTS,
        shm_size=_PARTS,
        writable=st.booleans(),
        writable_size=_PARTS,
    ),
    st.builds(
        VolumesConfig,
        read_only=_FOLDERS,
        mounts=st.lists(SITE_MOUNTS, max_size=3, unique_by=lambda mount: mount.target).map(
            lambda mounts: tuple(map(str, mounts))
        ),
    ),
    st.builds(
        EnvironmentConfig,
        set=_SETTINGS,
        prepend=_SETTINGS,
        append=_SETTINGS,
        unset=st.lists(VARIABLE_NAMES, max_size=2).map(tuple),
    ),
)

ACCESSES = st.builds(Access, _IDS, st.lists(_IDS, max_size=3).map(tuple), st.lists(_IDS, max_size=3).map(tuple))
ADDRESSES = st.builds(Address, path=PATHS) | st.builds(
    Address, host=st.sampled_from(["localhost", "gateway.example.org", "10.0.0.1", "::1"]), port=st.integers(1, 65535)
)


@st.composite
def plans(draw: st.DrawFn) -> MountPlan:
    """Of those requests only that their images can fulfil."""
    request, image = draw(REQUESTS), draw(IMAGES)
    parts = draw(JOBS), draw(FACTS), image, draw(CONFIGS), Container("12", "/run/spank-container/jobs/12/mnt.ns")
    try:
        return build_plan(request, *parts)
    except UserError:
        return build_plan(replace(request, task=TaskSpec()), *parts)


PLANS = plans()

# What a hostile or hurried user types: any text, and any text made of the grammars' own pieces.
_WORDS = [
    "ro",
    "rw",
    "perNodeCache",
    "size=",
    "1G",
    "bs=",
    "4k",
    "fs=",
    "xfs",
    "docker:",
    "id:",
    "sha256:",
    "e999",
    "..",
    "/a",
    "/b",
    "/etc",
    "1-3",
    "(x",
    "a",
    "n",
]
_ODD = ["\0", "\n", "\x1b", "\u202e", "\udcff", "\ud800", "日", "\u0301", "\U0001f600", "0" * 64, "9" * 30]
_PIECES = st.sampled_from([*_WORDS, *_ODD, *'/:;,=@.%[]() \t"'])
ANY_TEXT = st.text(st.characters(), max_size=60)
TYPED = ANY_TEXT | st.lists(_PIECES | ANY_TEXT, max_size=14).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TYPED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TYPED, inner, max_size=3),
    max_leaves=8,
)
