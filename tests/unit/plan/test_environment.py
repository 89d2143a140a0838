"""Which of an image's variables the tasks get; anything may be wrong with them."""

from __future__ import annotations

import pytest

from spank_container.plan.environment import tasks_environment

DEFAULT_PATH = "/opt/spank-container/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def variables(*image: str) -> dict[str, str]:
    return dict(record.split("=", 1) for record in tasks_environment(image))


def test_an_image_that_says_nothing() -> None:
    assert tasks_environment([]) == (f"PATH={DEFAULT_PATH}", "SHIFTER_RUNTIME=1")


def test_our_programs_come_first_in_the_images_path() -> None:
    assert variables("PATH=/x:/y")["PATH"] == "/opt/spank-container/bin:/x:/y"


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
    assert tasks_environment([setting]) == tasks_environment([])


@pytest.mark.parametrize(
    "name",
    [
        "SLURM_JOB_ID",
        "SLURMD_NODENAME",
        "SPANK_X",
        "_SLURM_SPANK_OPTION_x",
        "PMI_RANK",
        "PMIX_RANK",
        "PALS_RANKID",
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "GPU_DEVICE_ORDINAL",
    ],
)
def test_what_slurm_says_of_the_task_is_never_touched(name: str) -> None:
    assert name not in variables(f"{name}=x")


def test_every_record_can_be_written_for_the_plugin() -> None:
    records = tasks_environment(["A=\udcff", "B=\ud800", "C=\0"])
    assert all(b"\0" not in record.encode(errors="surrogateescape") for record in records)


def test_shifters_mark_cannot_be_taken_away() -> None:
    assert variables("SHIFTER_RUNTIME=")["SHIFTER_RUNTIME"] == "1"
