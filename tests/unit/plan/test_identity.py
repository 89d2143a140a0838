"""passwd, group and hostsfile, from an image's files of which anything may be wrong."""

from __future__ import annotations

from dataclasses import replace

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


@pytest.mark.parametrize(
    "gecos", ["Alice: Liddell:", "Alice\n Liddell", "\0Alice\x1f Lid\x7fdell\r"], ids=["colon", "line", "controls"]
)
def test_a_real_name_makes_neither_field_nor_line(gecos: str) -> None:
    assert identity.passwd("", account(gecos=gecos)) == ALICE


@pytest.mark.parametrize("gecos", ["J\udcf6rg", "\N{LINE SEPARATOR}", "日本 é"])
def test_other_real_names_stay(gecos: str) -> None:
    """Also bytes that are no UTF-8."""
    assert identity.passwd("", account(gecos=gecos)) == f"alice:x:1001:1001:{gecos}:/home/alice:/bin/bash\n"


@pytest.mark.parametrize("odd", [":", "\n", "\0", "\nroot:x:0:0::/:/bin/sh"])
def test_a_path_that_passwd_cannot_hold(odd: str) -> None:
    """Without the odd part it would be another path."""
    strange = replace(account(), home=f"/home{odd}alice", shell=f"/bin{odd}bash")  # noqa: S604  # of passwd(5)
    assert identity.passwd("", strange) == "alice:x:1001:1001:Alice Liddell:/:/bin/sh\n"


@pytest.mark.parametrize("name", ["", "a:b", "a\nroot", "a,b", "#alice", "+alice", "-alice", " alice", "\0", "\talice"])
def test_a_name_that_passwd_cannot_hold(name: str) -> None:
    strange = replace(account(), name=name)
    assert identity.passwd("", strange) == "user1001:x:1001:1001:Alice Liddell:/home/alice:/bin/bash\n"
    assert identity.group("", strange, [Group(name, 2000)]) == "group2000:x:2000:user1001\n"


@pytest.mark.parametrize(
    "name", ["domain users", "SITE\\alice", "alice@site.org", "a+b-c#d", "1001", "é", "al\udcffice"]
)
def test_names_that_directories_have(name: str) -> None:
    strange = replace(account(), name=name)
    assert identity.passwd("", strange).startswith(f"{name}:x:1001:")
    assert identity.group("", strange, [Group(name, 2000)]) == f"{name}:x:2000:{name}\n"


def test_a_thousand_groups() -> None:
    image = "".join(f"system{number}:x:{number}:\n" for number in range(1000))
    own = [Group(f"project{number}", 2000 + number) for number in range(1000)]
    lines = identity.group(image, account(), own).splitlines()
    assert lines[:2] == ["system0:x:0:", "system1:x:1:"]
    assert lines[1000:] == [f"project{number}:x:{2000 + number}:alice" for number in range(1000)]


def test_groups_with_one_name_or_with_one_number() -> None:
    own = [Group("a", 2000), Group("a", 2001), Group("b", 2000)]
    assert identity.group("", account(), own) == "b:x:2000:alice\na:x:2001:alice\n"


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
        "#comment:x:1:1::/:/bin/sh",
        "+everybody:x:1:1::/:/bin/sh",
        "-nobody:x:1:1::/:/bin/sh",
        " blank:x:1:1::/:/bin/sh",
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
