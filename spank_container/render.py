"""Templates to text: what `spank-container install` puts into place, and the reference page of the configuration.

Owns where the templates and hooks lie, in a wheel and in a checkout; the only importer of jinja2, which nodes need not
have. It never writes a file.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from spank_container.errors import SiteError
from spank_container.site_config import SiteConfig

_PACKAGE = Path(__file__).parent
_DEFAULT_PREFIX = "/opt/spank-container"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of config.toml; `default` as TOML writes it."""

    name: str
    type: str
    default: str
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of config.toml."""

    name: str
    doc: str
    keys: tuple[Key, ...]


def site_file(name: str) -> Path:
    """`prolog/...`, `epilog/...` or `slurm.conf.d/...`: in a wheel below site/, in a checkout at its root."""
    shipped = _PACKAGE / "site"
    return (shipped if shipped.is_dir() else _PACKAGE.parent) / name


def render(name: str, **values: object) -> str:
    """The template slurm.conf.d/`name`.j2 with `values` in it; a name that it uses and that is not there is an error."""
    try:
        import jinja2  # noqa: PLC0415  # see the module's docstring
    except ImportError as error:
        raise SiteError("jinja2 is not installed", hint="pip install 'spank-container[admin]'") from error
    environment = jinja2.Environment(  # noqa: S701  # this writes configuration files, not HTML
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["roff"] = _roff
    return environment.from_string(site_file(f"slurm.conf.d/{name}.j2").read_text()).render(values)


def _roff(text: str) -> str:
    """As text of a manual page: no character means anything to roff, and none becomes a typographer's."""
    for character, escape in (
        ("\\", r"\e"),
        ("-", r"\-"),
        ("'", r"\(aq"),
        ("`", r"\(ga"),
        ("^", r"\(ha"),
        ("~", r"\(ti"),
    ):
        text = text.replace(character, escape)
    return f"\\&{text}" if text.startswith(".") else text


def hook(name: str, prefix: Path, venv: Path) -> str:
    """The Prolog's or Epilog's script. In the repository it is a script as it would run at the default prefix."""
    text = site_file(f"{name}/50-spank-container").read_text()
    return text.replace(f"{_DEFAULT_PREFIX}/venv", str(venv)).replace(_DEFAULT_PREFIX, str(prefix))


def host_shifter() -> str:
    """The `shifter` of the host; that of the container is a program, which `spank-container install` compiles."""
    return (_PACKAGE / "support" / "host" / "bin" / "shifter").read_text()


def config_toml() -> str:
    """config.toml with every key explained and every default commented out: as it is, it changes nothing."""
    return render("config.toml", tables=config_tables())


def config_tables() -> tuple[Table, ...]:
    """The site configuration as tables and keys, read from the classes that define it."""
    hints = get_type_hints(SiteConfig)
    return tuple(
        Table(
            one.name, _first_line(hints[one.name]), tuple(_key(key, hints[one.name]) for key in fields(hints[one.name]))
        )
        for one in fields(SiteConfig)
    )


def _first_line(table: type) -> str:
    return (table.__doc__ or "").splitlines()[0]


def _key(key: Field[Any], table: type) -> Key:
    default = key.default if key.default_factory is MISSING else key.default_factory()
    # TOML's strings, arrays, numbers and booleans are JSON's for the values that occur here.
    shown = json.dumps(list(default) if isinstance(default, tuple) else default)
    return Key(key.name, _type_name(get_type_hints(table)[key.name]), shown, key.metadata["doc"])


def _type_name(hint: Any) -> str:  # noqa: ANN401  # a type, which has no type of its own that covers tuple[str, ...]
    return {bool: "boolean", int: "integer", str: "string"}.get(hint, "array of strings")


def config_reference() -> str:
    """docs/reference/config.md."""
    lines = [
        "# config.toml",
        "",
        "The site's configuration, `/etc/spank-container/config.toml`. This page is generated from",
        "`spank_container/site_config.py`; a test keeps it true. A file that is not there means these defaults.",
    ]
    for table in config_tables():
        lines += ["", f"## {table.doc.removesuffix('.')}", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [f"| `{key.name}` | {key.type} | `{key.default}` | {_cell(key.doc)} |" for key in table.keys]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
