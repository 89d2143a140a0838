"""Whoever writes a parser of a user's text writes a fuzz target for it: this walk finds those who did not.

A parser is known by its name. One with another name is added to OTHERS by hand.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "spank_container"
PARSER = re.compile(r"_?(parse|read|decode|decoded|validate|expand)(_\w+)?")
# By room and name, the target that feeds it: a function of this folder. ROOM.* where a room is reached only as a whole.
FUZZED = {
    "environment_file.read_environment_file": "test_fuzz.test_files_of_variables",
    "facts._expand": "test_fuzz_node.test_node_lists",
    "images.archives._parse_source": "test_fuzz.test_files_of_images",
    "images.documents._parse": "test_fuzz_images.test_manifests_and_indexes",
    "images.documents.read_configuration": "test_fuzz_images.test_configurations_of_images",
    "images.documents.read_manifest": "test_fuzz_images.test_manifests_and_indexes",
    "images.findings._read_libc": "test_fuzz_images.test_libraries",
    "images.logins._decoded": "test_fuzz.test_logins",
    "images.members.*": "test_fuzz_images.test_members_of_any_kind",
    "images.merge.*": "test_fuzz_images.test_members_of_any_kind",
    "images.meta_json.decode": "test_fuzz_images.test_descriptions_in_the_store",
    "images.sparse.*": "test_fuzz_images.test_sparse_files",
    "images.tar_reader.*": "test_fuzz_images.test_headers_that_lie",
    "request.parse_request": "test_fuzz.test_forged_requests",
    "request.parse_volume_options": "test_fuzz.test_options",
    "site_config.validate_config": "test_fuzz_node.test_configurations",
    "slurm.features.parse_features": "test_fuzz_node.test_features_of_nodes",
    "slurm.jobs.parse_squeue": "test_fuzz_node.test_lists_of_jobs",
    "values.address.parse_address": "test_fuzz_node.test_addresses",
    "values.image_ref.parse_digest": "test_fuzz.test_digests",
    "values.image_ref.parse_image_ref": "test_fuzz.test_image_references",
    "values.image_ref.parse_imported_ref": "test_fuzz.test_image_references",
    "values.site_mount.parse_site_mount": "test_fuzz_node.test_mounts_of_the_site",
    "values.size.parse_size": "test_fuzz.test_sizes",
    "values.task.parse_entrypoint": "test_fuzz.test_entrypoints",
    "values.task.parse_environment_file": "test_fuzz.test_environment_files",
    "values.task.parse_variables": "test_fuzz.test_variables",
    "values.task.parse_workdir": "test_fuzz.test_working_directories",
    "values.volume.parse_volumes": "test_fuzz.test_volumes",
    "values.writable.parse_writable": "test_fuzz.test_writable_roots",
}
OTHERS = {
    "facts._cpus_per_node": "test_fuzz_node.test_lists_of_cpus",
    "images.documents.chosen": "test_fuzz_images.test_manifests_and_indexes",
    "images.elf.soname": "test_fuzz_images.test_libraries",
    "plan.identity.group": "test_fuzz_node.test_whatever_the_name_service_says",
    "plan.identity.passwd": "test_fuzz_node.test_whatever_the_name_service_says",
    "request.job_from_environment": "test_fuzz_node.test_environments_of_hooks",
    "values.task.check_variable_name": "test_fuzz.test_variables",
    "values.task.with_value": "test_fuzz.test_variables",
    "values.volume.host_path": "test_fuzz.test_paths_that_stand_alone",
}
NO_USERS_TEXT = {
    "explain.recorded.read_record": "root's own record; any text of it in tests/unit/test_explain.py",
    "images.convert._read_once": "opens layers, for tar_reader",
    "images.convert._read_twice": "opens layers, for tar_reader",
    "images.store._read": "bytes, for meta_json.decode",
    "images.store_files.read_file": "the same bytes",
    "install.manifest.read_manifest": "what the installer wrote",
    "name_service._read": "bytes of a child's",
    "run.reading_from": "a program's output, read by others",
    "site_config.read_compiled": "what compile_config wrote",
    "slurm.conf.parse_show_config": "slurmctld's answer",
    "slurm.conf.read_slurm_conf": "the site's slurm.conf",
    "slurm.release.parse_version_header": "Slurm's own header",
    "slurm.release.parse_version_output": "Slurm's own answer",
    "slurm.starts.parse_starts": "squeue's answer, of states and times only",
    "state.parse_record": "what the Prolog wrote",
}
ELSEWHERE = ("gateway.",)  # its requests: schemathesis, by its own OpenAPI, in its own tests


def functions() -> set[str]:
    """ROOM.NAME of every function of the package, methods too."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        room = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.walk(ast.parse(path.read_text()))
        found |= {f"{room}.{node.name}" for node in tree if isinstance(node, ast.FunctionDef)}
    return found


def test_every_parser_has_a_target() -> None:
    named = {name for name in functions() if PARSER.fullmatch(name.rpartition(".")[2])}
    known = FUZZED.keys() | NO_USERS_TEXT.keys()
    unknown = {name for name in named - known if f"{name.rpartition('.')[0]}.*" not in known}
    assert {name for name in unknown if not name.startswith(ELSEWHERE)} == set()


def test_no_list_names_what_is_gone() -> None:
    there = functions()
    there |= {f"{name.rpartition('.')[0]}.*" for name in there}
    assert (FUZZED.keys() | OTHERS.keys() | NO_USERS_TEXT.keys()) - there == set()


@pytest.mark.parametrize("target", sorted({*FUZZED.values(), *OTHERS.values()}))
def test_a_target_is_a_property(target: str) -> None:
    module, _, name = target.rpartition(".")
    body = ast.parse(Path(__file__).with_name(f"{module}.py").read_text()).body
    (function,) = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert "given(" in "".join(map(ast.unparse, function.decorator_list))
