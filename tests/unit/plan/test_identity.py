"""passwd, group and hostsfile, from an image's files of which anything may be wrong."""

from __future__ import annotations

import pytest
from builders import account

from spank_container.plan import identity
from spank_container.values.host_facts import Group

ALICE = "alice:x:1001:1001:Alice Liddell:/home/alice:/bin/bash\n"
GROUPS = (Group("alice", 1001), Group("physics", 2000))


def test_system_accounts_of_the_image_and_the_user() -> None:
    image = (
        "root:x:0:0:root:/root:/bin/sh\n"
        "www:x:33:33::/:/bin/false\n"
        "someone:x:1000:1000::/:/bin/sh\n"
        "nobody:x:65534:65534::/:/bin/false\n"
    )
    assert identity.passwd(image, account()) == (
        "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n" + ALICE
    )


def test_the_user_has_the_name_and_the_number_alone() -> None:
    image = "alice:x:5:5::/:/bin/sh\nother:x:101:5::/:/bin/sh\n"
    assert identity.passwd(image, account(uid=101, gecos="")) == "alice:x:101:101::/home/alice:/bin/bash\n"


def test_a_colon_in_the_real_name_makes_no_field() -> None:
    assert identity.passwd("", account(gecos="Alice: Liddell:")) == ALICE


@pytest.mark.parametrize(
    "line",
    [
        "",
        "short:x:1",
        "long:x:1:1::/:/bin/sh:more",
        ":x:1:1::/:/bin/sh",
        "minus:x:-1:1::/:/bin/sh",
        "word:x:one:1::/:/bin/sh",
        "none:x::1::/:/bin/sh",
        "arabic:x:\u0661:1::/:/bin/sh",
        "power:x:\u00b2:1::/:/bin/sh",
        f"huge:x:{'9' * 5000}:1::/:/bin/sh",
        f"zeros:x:{'0' * 5000}:1::/:/bin/sh",
        "ordinary:x:1000:1::/:/bin/sh",
    ],
)
def test_lines_that_are_no_system_account_are_left_out(line: str) -> None:
    assert identity.passwd(f"{line}\n", account()) == ALICE


@pytest.mark.parametrize(
    "line", ["short:x:1", "long:x:1:a:b", ":x:1:", "word:x:one:", f"huge:x:{'9' * 5000}:", "o:x:1000:"]
)
def test_lines_that_are_no_system_group_are_left_out(line: str) -> None:
    assert identity.group(f"{line}\n", account(), GROUPS[:1]) == "alice:x:1001:alice\n"


def test_system_groups_without_members_and_the_users_groups_with_the_user() -> None:
    image = "root:x:0:\nadm:*:4:root,alice,eve\nusers:x:1000:\nphysics:x:5:\n"
    assert identity.group(image, account(), GROUPS) == (
        "root:x:0:\nadm:*:4:\nalice:x:1001:alice\nphysics:x:2000:alice\n"
    )


def test_the_hostsfile_has_a_line_for_each_cpu() -> None:
    assert identity.hostsfile([("n1", 2), ("n2", 1), ("n3", 0)]) == "n1\nn1\nn2\n"
    assert identity.hostsfile([]) == ""
