"""What is printed is read back as the same value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from strategies import CONFIGS, IMAGE_REFS, REQUESTS, SIZES, volumes

from spank_container.request import JobRequest, parse_request, parse_volume_options
from spank_container.site_config import SiteConfig, compile_config, read_compiled
from spank_container.values.image_ref import ImageRef, parse_image_ref
from spank_container.values.size import format_size, parse_size
from spank_container.values.volume import VolumeSpec, parse_volumes


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
