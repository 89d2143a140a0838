from __future__ import annotations

import pytest

from spank_container.errors import ParseError
from spank_container.values.size import format_size, parse_size

LARGEST = 2**63 - 1


def refusal(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse_size(text)
    return caught.value.report()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("5k", 5120),
        ("500KB", 512_000),
        ("1KiB", 1024),
        ("1.5G", 1_610_612_736),
        ("4T", 4 << 40),
        ("1P", 1 << 50),
        ("1e", 1 << 60),
        ("7E", 7 << 60),
        ("1e3", 1000),
        ("2E3k", 2_048_000),
        ("100g", 100 << 30),
        ("0.5k", 512),
        (".5T", 1 << 39),
        ("512b", 512),
        ("512B", 512),
        ("1eb", 1 << 60),
        ("1.9", 1),
        ("9007199254740993", 9_007_199_254_740_993),
        (str(LARGEST), LARGEST),
        ("0" * 30 + "123", 123),
        ("0" * 5000 + "1G", 1 << 30),
    ],
)
def test_sizes_that_people_type(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "x",
        "-1G",
        "+1",
        "0x10",
        "1 G",
        " 1",
        "1G ",
        "1\n",
        "100Q",
        "10 M",
        "1.",
        ".",
        ".G",
        "5bb",
        "5ib",
        "b",
        "nan",
        "inf",
        "1,5G",
        "1GG",
        "1e+3",
        "\uff11",
    ],
)
def test_what_is_no_size(text: str) -> None:
    line, caret = text.replace("\n", "\ufffd"), "^" + "~" * (len(text) + text.count("\uff11") - 1)
    assert refusal(text) == f"this is no size\n    {line}\n    {caret}\nhint: write 500M, 1.5G or 4T"


@pytest.mark.parametrize(
    "text", ["0", "0.0G", "0.1", "8E", "1e99", "1e999", "9" * 20, str(LARGEST + 1), "7.9999999999999999E"]
)
def test_sizes_out_of_range(text: str) -> None:
    caret = "^" + "~" * (len(text) - 1)
    hint = "give at least one byte and less than 8E"
    assert refusal(text) == f"the size is out of range\n    {text}\n    {caret}\nhint: {hint}"


def test_thousands_of_digits_are_out_of_range_too() -> None:
    assert refusal("9" * 60_000).startswith("the size is out of range\n")
    assert refusal(f"1.{'9' * 60_000}E{'9' * 3}").startswith("the size is out of range\n")


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "1"), (1023, "1023"), (1024, "1K"), (1536, "1536"), (1 << 30, "1G"), (3 << 60, "3E"), (LARGEST, str(LARGEST))],
)
def test_the_shortest_exact_text(size: int, text: str) -> None:
    assert format_size(size) == text


def test_no_bytes_have_a_text() -> None:
    assert format_size(0) == "0"
