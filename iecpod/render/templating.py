"""The one way templates become text: strict about what is missing, safe for XML and for YAML.

In `*.xml.j2` every value is escaped. In all other templates a value goes through `| tojson`, which is valid YAML.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

#: Characters that JSON leaves bare and a YAML reader refuses or folds into a line break.
_NOT_YAML_PRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def make_environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """An environment whose templates fail, with `jinja2.UndefinedError`, on a missing or None value."""
    import jinja2

    environment = jinja2.Environment(
        loader=loader,
        autoescape=_is_xml,
        undefined=jinja2.StrictUndefined,
        finalize=_refuse_none,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["tojson"] = _to_json
    return environment


@functools.cache
def package_environment() -> jinja2.Environment:
    """Templates that are part of the package: `iecpod/render/templates`. Each is compiled once."""
    import jinja2

    return make_environment(jinja2.PackageLoader("iecpod.render", "templates"))


@functools.cache
def directory_environment(directory: Path) -> jinja2.Environment:
    """Templates outside the package, such as the project's `cloud-init` directory. Each is compiled once."""
    import jinja2

    return make_environment(jinja2.FileSystemLoader(directory))


def _is_xml(template_name: str | None) -> bool:
    return template_name is not None and template_name.endswith(".xml.j2")


def _refuse_none(value: Any) -> Any:
    if value is None:
        import jinja2

        raise jinja2.UndefinedError("a template prints a value that is None")
    return value


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON that YAML 1.1 readers take as the same value; characters outside ASCII stay readable."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_refuse_unknown)
    return _NOT_YAML_PRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _refuse_unknown(value: Any) -> Any:
    import jinja2

    if isinstance(value, jinja2.Undefined):
        str(value)  # StrictUndefined says which variable is missing
    raise TypeError(f"{type(value).__name__} has no JSON form; pass text to the template")
