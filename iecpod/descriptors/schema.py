"""Documents against `schemas/*.json`: every problem, with path, line and remedy; the only importer of `jsonschema`."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from iecpod.descriptors.dialect import check_dialect
from iecpod.descriptors.encrypted import is_encrypted
from iecpod.descriptors.formats import FORMATS, check_format
from iecpod.descriptors.messages import explain, explain_missing_key, explain_unknown_key
from iecpod.errors import Problem, sort_problems
from iecpod.yaml.document import Document

SchemaKind: TypeAlias = Literal["pdf", "idf", "release", "scenario", "manifest-patch"]
_Path: TypeAlias = tuple[str | int, ...]

_extend: Any = extend

#: What breaks these can be parsed all the same: iecpod makes no use of the value, or needs it as text only.
HARMLESS_RULES = frozenset(
    f"schema-{name}" for name in ("unknown-key", "pattern", "emails", "uri", "features", "bus-address", "installer")
)
#: JSON Schema takes 2.0 for a whole number; installers that read a descriptor do not.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
#: A file with more is not read by anybody to the end; looking for them costs time.
_MAX_PROBLEMS = 500


def check_schema(document: Document, kind: SchemaKind, schemas_dir: Path) -> list[Problem]:
    """Every violation of `schemas_dir/KIND.json`, sorted by place. A known dialect is named, and that is all then."""
    if kind in ("pdf", "idf") and (dialect := check_dialect(document, kind)):
        return [dialect]
    validator = _make_validator(schemas_dir / f"{kind}.json")
    found: dict[tuple[object, ...], Problem] = {}
    errors = (error for error in validator.iter_errors(document.data) if not _is_hidden(error))
    for error in islice(errors, _MAX_PROBLEMS):
        for problem in _problems_of(error, document, kind):
            # What several aliases share is one fault in one place, not one for each alias.
            found.setdefault((problem.line, problem.column, problem.rule, problem.message), problem)
        if len(found) >= _MAX_PROBLEMS:
            break
    return sort_problems(found.values())


def _make_validator(path: Path) -> Any:
    """A validator that looks at each shared value once for each definition.

    Aliases make one value stand in many places; without this, a small file of aliases takes minutes.
    """
    seen: set[tuple[str, int]] = set()
    check_reference = Draft202012Validator.VALIDATORS["$ref"]

    def check_once(validator: Any, reference: str, instance: object, schema: Any) -> Iterator[ValidationError]:
        if isinstance(instance, (dict, list)):
            if (reference, id(instance)) in seen:
                return
            seen.add((reference, id(instance)))
        yield from check_reference(validator, reference, instance, schema) or ()

    schema, checker = _load_schema(path)
    strict = _extend(Draft202012Validator, {"$ref": check_once, "pattern": _check_pattern}, type_checker=_TYPES)
    return strict(schema, format_checker=checker)


def _check_pattern(validator: Any, pattern: str, instance: object, schema: Any) -> Iterator[ValidationError]:
    """JSON Schema's `$` is the end of the text; Python's also matches before a last line break."""
    if isinstance(instance, str) and not _compile_pattern(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@functools.cache
def _compile_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\$\Z", r"\\Z", pattern))


@functools.cache
def _load_schema(path: Path) -> tuple[Any, FormatChecker]:
    checker = FormatChecker(formats=())
    for name in FORMATS:
        checker.checks(name)(functools.partial(_has_format, name))
    return json.loads(path.read_text(encoding="utf-8")), checker


def _has_format(name: str, value: object) -> bool:
    return check_format(name, value) is None


def _is_hidden(error: ValidationError) -> bool:
    """Whether it is about what an encrypted value says; that it is text is all that can be seen of it."""
    return error.validator != "type" and is_encrypted(error.instance)


def _problems_of(error: ValidationError, document: Document, kind: SchemaKind) -> Iterator[Problem]:
    path: _Path = tuple(error.absolute_path)
    keyword = str(error.validator)
    schema: Any = error.schema if isinstance(error.schema, dict) else {}
    if keyword in ("anyOf", "oneOf") and error.context:
        yield from _problems_of(best_match(error.context) or error.context[0], document, kind)
    elif keyword == "additionalProperties" and isinstance(error.instance, dict):
        known = list(schema.get("properties", {}))
        extra = (key for key in error.instance if key not in known)
        for key in islice(extra, _MAX_PROBLEMS):
            message, remedy = explain_unknown_key(key, known, "" if path else kind)
            yield document.problem((*path, key), message, remedy, rule="schema-unknown-key")
    elif keyword in ("required", "dependentRequired") and isinstance(error.instance, dict):
        for key in _missing_keys(keyword, error):
            message, remedy = explain_missing_key(key, _property_schema(schema, key))
            yield document.problem(path, message, remedy, rule="schema-missing-key")
    else:
        message, remedy = explain(keyword, error.validator_value, error.instance, schema)
        rule = f"schema-{error.validator_value if keyword == 'format' else keyword}".lower()
        yield document.problem(path, message, remedy, rule=rule)


def _missing_keys(keyword: str, error: ValidationError) -> Sequence[str]:
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if keyword == "dependentRequired":
        wanted = [key for trigger, keys in wanted.items() if trigger in instance for key in keys]
    return [key for key in wanted if key not in instance]


def _property_schema(schema: Any, key: str) -> Any:
    found = schema.get("properties", {}).get(key, {})
    return found if isinstance(found, dict) else {}
