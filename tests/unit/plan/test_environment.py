"""What the tasks see: every row of the tables in docs/reference/environment.md, run through the planning code."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from builders import DIGEST, account, image, request

from spank_container.errors import ParseError, SpankContainerError, UserError
from spank_container.plan.command import command_records, files_for_shifter
from spank_container.plan.environment import cleared_environment, tasks_environment
from spank_container.site_config import EnvironmentConfig
from spank_container.values.task import TaskSpec, parse_environment_file, parse_variables, parse_workdir
from spank_container.values.variables import PROTECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = (Path(__file__).parents[3] / "docs/reference/environment.md").read_text()
DEFAULT_PATH = "/opt/spank-container/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def rows(table: str) -> list[list[str | None]]:
    """The cells of each row, None for an empty one."""
    found = re.search(rf"<!-- {table} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert found
    lines = found[1].splitlines()[2:]
    return [[_cell(cell) for cell in re.split(r" ?\| ?", line)[1:-1]] for line in lines]


def _cell(text: str) -> str | None:
    """` ` is how Markdown can say that there is something, and that it is empty."""
    return text.strip("`").strip() if text else None


def applied(records: Sequence[str], job: dict[str, str]) -> dict[str, str]:
    """What the plugin makes of the job's environment; tests/plugin has the same in C."""
    environment, kept = dict(job), []
    for record in records:
        name, equals, value = record.partition("=")
        if record.startswith("+"):
            kept.append(record[1:])
        elif record == "-":
            environment = {name: value for name, value in environment.items() if name.startswith(tuple(kept))}
        elif equals:
            environment[name] = value
        else:
            environment.pop(name, None)
    return environment


def seen(row: Sequence[str | None], *, clear: bool) -> tuple[str | None, str | None]:
    """What the task sees by the planning code, and by the row."""
    name, job, of_image, site, given, sees, why = row
    assert name
    assert why
    what, _, value = (site or "").partition(" ")
    setting = () if not what else (name,) if what == "unset" else (f"{name}={value}",)
    records = tasks_environment(
        replace(request(), task=TaskSpec(() if given is None else parse_variables([f"{name}={given}"]), clear)),
        replace(image(), environment=() if of_image is None else (f"{name}={of_image}",)),
        EnvironmentConfig(**({what: setting} if what else {})),
        account(),
    )
    return applied(records, {} if job is None else {name: job}).get(name), sees


@pytest.mark.parametrize("row", rows("environment"), ids=str)
def test_a_row_of_the_table(row: list[str | None]) -> None:
    found, expected = seen(row, clear=False)
    assert found == expected


@pytest.mark.parametrize("row", rows("environment: cleared"), ids=str)
def test_a_row_of_the_table_with_a_cleared_environment(row: list[str | None]) -> None:
    found, expected = seen(row, clear=True)
    assert found == expected


def test_the_tables_were_read() -> None:
    assert (len(rows("environment")), len(rows("environment: cleared"))) == (40, 12)


def test_the_page_lists_what_is_protected() -> None:
    assert {name: why for name, _, why in rows("protected")} == PROTECTED


@pytest.mark.parametrize("name", [f"{beginning}{end}" for beginning in PROTECTED for end in ("", "X")])
def test_what_is_protected(name: str) -> None:
    """It is refused where a user asks for it, and of an image and a site it is not taken."""
    setting = f"{name}=evil"
    site = EnvironmentConfig(set=(setting,), prepend=(setting,), append=(setting,), unset=(name,))
    for clear in (False, True):
        records = tasks_environment(
            replace(request(), task=TaskSpec(clear_environment=clear)), image(setting), site, account()
        )
        assert applied(records, {name: "good"})[name] == {"SHIFTER_IMAGE": DIGEST, "SHIFTER_RUNTIME": "1"}.get(
            name, "good"
        )
    with pytest.raises(ParseError) as caught:
        parse_variables([setting])
    reason = next(why for beginning, why in PROTECTED.items() if name.startswith(beginning))
    assert caught.value.report() == (
        f"--image-env: {name} is not for you to set: {reason}\n    {name}\n    ^{'~' * (len(name) - 1)}\n"
        "hint: leave it out"
    )


def test_the_refusal_that_is_shown_is_the_real_one() -> None:
    shown = PAGE.split("--image-env-file=settings job.sh\n")[1].split("```")[0]
    with pytest.raises(ParseError) as caught:
        parse_environment_file("# mine\n\nMY-SETTING=1\n", "settings")
    assert shown == f"spank-container: {caught.value.report()}\n"


def outcome(task: TaskSpec, **of_image: object) -> tuple[str, ...] | str:
    """The records, or the words of the refusal."""
    try:
        return command_records(task, replace(image(), **of_image))  # type: ignore[arg-type]
    except SpankContainerError as error:
        return error.message


def option(text: str | None) -> str | None:
    """--image-x=VALUE -> VALUE, --image-x -> "", nothing -> None."""
    return None if text is None else text.partition("=")[2]


@pytest.mark.parametrize("row", rows("workdir"), ids=str)
def test_a_row_of_the_table_of_working_directories(row: list[str | None]) -> None:
    of_image, typed, expected = row
    assert expected
    task = TaskSpec(workdir=parse_workdir(option(typed) or ""))
    assert outcome(task, workdir=of_image or "") == ((f"@{expected}",) if expected[0] == "/" else expected)


@pytest.mark.parametrize("row", rows("entrypoint"), ids=str)
def test_a_row_of_the_table_of_entrypoints(row: list[str | None]) -> None:
    of_image, typed, command, expected = row
    assert command
    assert expected
    found = outcome(TaskSpec(entrypoint=option(typed)), entrypoint=tuple((of_image or "").split()))
    ran = found if isinstance(found, str) else " ".join([*(word.removeprefix(">") for word in found), command])
    assert ran == expected


@pytest.mark.parametrize(
    ("task", "report"),
    [
        (
            TaskSpec(workdir=""),
            "--image-workdir: the image has no working directory\nhint: name one: --image-workdir=/DIR",
        ),
        (
            TaskSpec(entrypoint=""),
            "--image-entrypoint: the image has no entrypoint\nhint: name one: --image-entrypoint=PROGRAM",
        ),
    ],
)
def test_the_refusals_of_what_an_image_has_not(task: TaskSpec, report: str) -> None:
    with pytest.raises(UserError) as caught:
        command_records(task, replace(image(), workdir="", entrypoint=()))
    assert caught.value.report() == report


@pytest.mark.parametrize("words", [("",), ("a", "b\0c"), ("\ud800",)])
def test_an_entrypoint_that_cannot_be_executed_is_none(words: tuple[str, ...]) -> None:
    assert outcome(TaskSpec(entrypoint=""), entrypoint=words) == "--image-entrypoint: the image has no entrypoint"


def test_the_files_for_the_containers_own_shifter() -> None:
    source = replace(image(), entrypoint=("/entry", "a b"), cmd=("x",), workdir="//app/")
    assert [(file.path, file.content) for file in files_for_shifter(source, ("A=1", "B="), "")] == [
        ("/opt/spank-container/entrypoint", "/entry\0a b\0"),
        ("/opt/spank-container/cmd", "x\0"),
        ("/opt/spank-container/variables", "A=1\0B=\0"),
        ("/opt/spank-container/workdir", "/app\n"),
    ]


def test_the_files_are_there_when_the_image_says_nothing_of_use() -> None:
    source = replace(image(), entrypoint=("a\0b",), cmd=(), workdir="a\nb")
    assert [file.content for file in files_for_shifter(source, (), "")] == [""] * 4


def test_what_the_containers_shifter_sets_when_it_clears() -> None:
    """As --image-clearenv would, and nothing that has to be taken away."""
    asked = replace(request(), task=TaskSpec(environment=("MINE=1",)))
    site = EnvironmentConfig(set=("SITE=1",), unset=("GONE",))
    cleared = cleared_environment(asked, image("GONE=1", "IMAGES=1"), site, account())
    names = ["HOME", "USER", "LOGNAME", "IMAGES", "SITE", "MINE", "PATH"]
    assert [one.split("=")[0] for one in cleared][:7] == names
    assert "LD_PRELOAD" not in "".join(cleared)


# An image's own list, of which anything may be wrong.


def variables(*settings: str) -> dict[str, str]:
    records = tasks_environment(request(), replace(image(), environment=settings), EnvironmentConfig(), account())
    return applied(records, {})


NOTHING = {
    "PATH": DEFAULT_PATH,
    "SHIFTER_RUNTIME": "1",
    "SHIFTER_IMAGE": DIGEST,
    "SHIFTER_IMAGEREQUEST": "docker.io/library/debian:trixie",
}


def test_an_image_that_says_nothing() -> None:
    assert variables() == NOTHING


def test_an_empty_path_does_not_become_the_current_folder() -> None:
    assert variables("PATH=")["PATH"] == DEFAULT_PATH


def test_values_stay_what_they_are() -> None:
    found = variables("A=1", "B=", "C=x=y z\n", "D=\udcff", "_E1=é")
    assert {name: found[name] for name in "ABCD"} == {"A": "1", "B": "", "C": "x=y z\n", "D": "\udcff"}
    assert found["_E1"] == "é"


def test_the_last_of_two_counts() -> None:
    assert variables("A=1", "A=2")["A"] == "2"


@pytest.mark.parametrize(
    "setting", ["", "=", "=x", "NAME", "1A=x", "A B=x", "A-B=x", "\u00c4=x", "A\n=x", "A\0=x", "A=x\0B=y", "A=\ud800"]
)
def test_what_is_no_variable_is_left_out(setting: str) -> None:
    assert variables(setting) == NOTHING


def test_every_record_can_be_written_for_the_plugin() -> None:
    hostile = image("A=\udcff", "B=\ud800", "C=\0")
    for spec in (TaskSpec(), TaskSpec(clear_environment=True)):
        asked = replace(request(), task=spec)
        records = tasks_environment(asked, hostile, EnvironmentConfig(), account(home="/\0"))
        assert all(b"\0" not in record.encode(errors="surrogateescape") for record in records)


def test_the_site_joins_in_the_order_in_which_it_says_so() -> None:
    site = EnvironmentConfig(prepend=("P=/a", "P=/b"), append=("P=/y", "P=/z"))
    records = tasks_environment(request(), image("P=/m"), site, account())
    assert applied(records, {})["P"] == "/a:/b:/m:/y:/z"


def test_the_image_is_named_as_the_user_named_it() -> None:
    asked = replace(request(image="debian"), typed="docker:debian")
    records = tasks_environment(asked, image(), EnvironmentConfig(), account())
    assert "SHIFTER_IMAGEREQUEST=debian" in records


def test_the_site_joins_nothing() -> None:
    """An empty value before or behind another is none, and takes nothing from the job."""
    site = EnvironmentConfig(prepend=("HOME=", "A="), append=("HOME=", "B="))
    records = tasks_environment(request(), image("A=of image"), site, account())
    assert applied(records, {"HOME": "/home/alice", "A": "1", "B": "2"}).items() >= {
        ("HOME", "/home/alice"),
        ("A", "of image"),
        ("B", "2"),
    }
