"""What is printed is read back as the same value."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st
from strategies import (
    ACCESSES,
    ADDRESSES,
    CONFIGS,
    IMAGE_REFS,
    IMAGES,
    PLANS,
    REQUESTS,
    SITE_MOUNTS,
    SIZES,
    TASKS,
    WRITABLES,
    volumes,
)

from spank_container.images import meta_json
from spank_container.request import JobRequest, parse_request, parse_volume_options
from spank_container.site_config import SiteConfig, compile_config, read_compiled
from spank_container.state import ContainerDirectory, Journal, Record, parse_record
from spank_container.values.address import Address, parse_address
from spank_container.values.image_ref import ImageRef, parse_image_ref
from spank_container.values.site_mount import SiteMount, parse_site_mount
from spank_container.values.size import format_size, parse_size
from spank_container.values.task import TaskSpec, parse_environment_file, parse_variables
from spank_container.values.volume import VolumeSpec, parse_volumes
from spank_container.values.writable import WritableSpec, parse_writable

if TYPE_CHECKING:
    from spank_container.plan.ops import MountPlan
    from spank_container.values.access import Access
    from spank_container.values.image_meta import ImageMeta


@given(SIZES)
def test_sizes(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(IMAGE_REFS)
def test_image_references(ref: ImageRef) -> None:
    assert parse_image_ref(str(ref)) == ref


@given(st.lists(volumes(), min_size=1, max_size=4))
def test_volumes(specs: list[VolumeSpec]) -> None:
    assert parse_volumes(";".join(map(str, specs))) == tuple(specs)


@given(st.lists(volumes(), max_size=6, unique_by=lambda volume: volume.target))
def test_volumes_in_one_option_or_in_many(specs: list[VolumeSpec]) -> None:
    assert parse_volume_options(map(str, specs)) == tuple(specs)


@given(WRITABLES)
def test_writable_roots(spec: WritableSpec) -> None:
    assert parse_writable(str(spec)) == spec


@given(SITE_MOUNTS)
def test_a_sites_mounts(mount: SiteMount) -> None:
    assert parse_site_mount(str(mount)) == mount


@given(ADDRESSES)
def test_addresses(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(TASKS)
def test_variables_typed_or_in_a_file(task: TaskSpec) -> None:
    assert parse_variables(task.environment) == task.environment
    lines = [setting for setting in task.environment if not {"\n", "\r"} & {*setting}]
    assert parse_environment_file("\n".join(["# mine", "", *lines]), "file") == lines


@given(REQUESTS)
def test_requests(request: JobRequest) -> None:
    text = request.to_json()
    assert parse_request(text) == request
    assert parse_request(text).to_json() == text
    assert text.isascii()
    assert text.isprintable()


@given(CONFIGS, st.lists(st.integers()))
def test_compiled_configurations(config: SiteConfig, stamp: list[int]) -> None:
    assert read_compiled(compile_config(config, stamp)) == (config, stamp)


@given(PLANS, st.integers(0, 2**32), st.text(), st.tuples(st.text(), st.text()))
def test_records(plan: MountPlan, restart_count: int, request: str, tmp: tuple[str, str]) -> None:
    record = Record(restart_count, plan, request, tmp)
    with tempfile.TemporaryDirectory() as folder:
        directory = ContainerDirectory(Path(folder, "jobs/12"))
        directory.create(record)
        assert directory.record() == record
        assert parse_record((directory.path / "record.json").read_text(), directory.path) == record


@given(st.dictionaries(st.integers(0, 9), st.text(), max_size=4))
@example({0: "\udcff\n"})
def test_journals(notes: dict[int, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(ContainerDirectory(Path(folder)))
        for index, note in notes.items():
            journal.begin(index, note)
            journal.done(index)
        assert journal.begun() == list(notes.items())


@given(IMAGES, st.none() | ACCESSES)
def test_descriptions_of_images(image: ImageMeta, access: Access | None) -> None:
    meta = replace(image, access=access)
    assert meta_json.decode(meta_json.encode(meta)) == meta
