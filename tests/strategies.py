"""What users may ask for, and what they may type."""

from __future__ import annotations

from hypothesis import strategies as st

from spank_container.request import JobRequest
from spank_container.site_config import ContainerConfig, ImagesConfig, ScratchConfig, SiteConfig
from spank_container.values.host_facts import Account, Group, HostFacts
from spank_container.values.image_meta import ImageMeta
from spank_container.values.image_ref import Digest, ImageId, ImageRef, ImportedRef, PinnedImage, RegistryRef
from spank_container.values.job import Job
from spank_container.values.size import parse_size
from spank_container.values.volume import (
    FILESYSTEMS,
    SMALLEST_SCRATCH,
    ContainerPath,
    HostPath,
    ScratchSpec,
    VolumeSpec,
    is_protected,
)

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


_NAMES = st.lists(_COMPONENTS, min_size=1, max_size=3).map("/".join)
IMAGE_REFS: st.SearchStrategy[ImageRef] = registry_refs() | st.builds(ImportedRef, _NAMES, _TAGS) | DIGESTS.map(ImageId)
REQUESTS = st.builds(
    JobRequest,
    st.builds(PinnedImage, IMAGE_REFS, DIGESTS),
    st.lists(volumes(), max_size=6, unique_by=lambda volume: volume.target).map(tuple),
)

_LINES = st.text(max_size=30)
ACCOUNTS = st.builds(
    Account,
    st.just("alice"),
    st.integers(1, 2**32 - 2),
    st.integers(0, 2**32 - 2),
    _LINES,
    PATHS | _LINES,
    st.just("/bin/sh"),
)
FACTS = st.builds(
    HostFacts,
    ACCOUNTS,
    st.lists(st.builds(Group, st.just("group"), st.integers(0, 2**32 - 2)), max_size=3).map(tuple),
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
    passwd=st.text(),
    group=st.text() | st.text().map(lambda text: f"root:x:0:{text}\n"),
)
CONFIGS = st.builds(
    SiteConfig,
    st.builds(ImagesConfig, PATHS),
    st.builds(ScratchConfig, st.just("") | PATHS, st.just(""), st.just(FILESYSTEMS), st.booleans()),
    st.builds(ContainerConfig, tmp_size=st.sampled_from(["50%", "1.5G"]), shm_size=st.sampled_from(["100%", "8G"])),
)

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
