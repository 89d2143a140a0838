from __future__ import annotations

from pathlib import Path

from spank_container.slurm.conf import SlurmConf, parse_show_config, plugstack_includes, read_slurm_conf

CONF = Path("/etc/slurm/slurm.conf")


def read_if_there(**files: str) -> SlurmConf | None:
    texts = {Path("/etc/slurm") / name.replace("_", "."): text for name, text in files.items()}

    def read_text(path: Path) -> str:
        if path not in texts:
            raise FileNotFoundError(path)
        return texts[path]

    return read_slurm_conf(CONF, read_text)


def read(**files: str) -> SlurmConf:
    conf = read_if_there(**files)
    assert conf is not None
    return conf


def test_settings_are_found_whatever_their_case_quotes_and_comments() -> None:
    conf = read(slurm_conf='prolog = "/a" # why\n#Prolog=/b\nEPILOG=/c Foo=1\nPrologFlags=Alloc,\\\nContain\n')
    assert conf.values("Prolog") == ("/a",)
    assert conf.values("epilog") == ("/c",)
    assert conf.values("foo") == ("1",)


def test_includes_are_read_beside_slurm_conf() -> None:
    conf = read(slurm_conf="include more.conf\nInclude /etc/slurm/gone.conf\n", more_conf="PrologFlags=Alloc,X11\n")
    assert conf.flags("PrologFlags") == {"alloc", "x11"}
    assert conf.included == (Path("/etc/slurm/more.conf"),)
    assert conf.missing == (Path("/etc/slurm/gone.conf"),)


def test_files_that_include_each_other_come_to_an_end() -> None:
    assert read(slurm_conf="include slurm.conf\n").values("x") == ()


def test_no_slurm_conf_is_none() -> None:
    assert read_if_there() is None


def test_scontrol_show_config_of_old_and_new_releases() -> None:
    old = parse_show_config(
        "Configuration data as of 2026\nProlog                  = /etc/slurm/prolog.d/*\nEpilog = (null)\n"
    )
    new = parse_show_config(
        "Prolog[0]               = /etc/slurm/a\nProlog[1]   = /etc/slurm/prolog.d/*\nEpilog[0] = /e\n"
    )
    assert old.values("Prolog") == ("/etc/slurm/prolog.d/*",)
    assert old.values("Epilog") == ()
    assert new.values("Prolog") == ("/etc/slurm/a", "/etc/slurm/prolog.d/*")


def test_an_include_of_the_folder_is_not_one_of_the_file() -> None:
    plugstack, ours = Path("/etc/slurm/plugstack.conf"), Path("/etc/slurm/plugstack.conf.d/spank-container.conf")
    assert plugstack_includes("include plugstack.conf.d/*\n", plugstack, ours)
    assert not plugstack_includes("include plugstack.conf.d\n", plugstack, ours)
    assert not plugstack_includes("required /plugstack.conf.d/*.conf\n", plugstack, ours)
