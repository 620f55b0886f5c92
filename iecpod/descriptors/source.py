"""Finds and reads the two files of a POD: `BASE/labs/LAB/POD.yaml` and `BASE/labs/LAB/idf-POD.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from iecpod.errors import DescriptorError, Problem, UsageError
from iecpod.model import PodRef
from iecpod.yaml_builder import MAX_BYTES
from iecpod.yaml_document import Document, load_yaml

#: A name of a lab or a POD is one path component and part of libvirt names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The two files as read, before any check beyond YAML."""

    pdf: Document
    idf: Document


def load_descriptors(base_uri: str, ref: PodRef) -> Descriptors:
    """Reads PDF and IDF below `base_uri`: a directory, or a `file://`, `http://` or `https://` URI.

    Raises `UsageError` for impossible names and URIs, `DescriptorError` with the problems of both files.
    """
    _check_name("lab", ref.lab)
    _check_name("POD", ref.pod)
    names = (f"{ref.pod}.yaml", f"idf-{ref.pod}.yaml")
    documents: list[Document] = []
    problems: list[Problem] = []
    for name in names:
        try:
            documents.append(_load(base_uri, ref, name))
        except DescriptorError as error:
            problems.extend(error.problems)
    if problems:
        raise DescriptorError(problems, f"the descriptors of POD {ref} cannot be read", "correct the places listed")
    return Descriptors(*documents)


def _check_name(what: str, name: str) -> None:
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {what}",
            "names are letters, digits, '-', '_' and '.', and begin with a letter or digit",
        )


def _load(base_uri: str, ref: PodRef, name: str) -> Document:
    base, is_remote = _resolve_base(base_uri)
    if is_remote:
        uri = f"{base}/labs/{quote(ref.lab)}/{quote(name)}"
        return load_yaml(_fetch(uri), uri)
    path = Path(base) / "labs" / ref.lab / name
    return load_yaml(_read(path, Path(base), ref), str(path))


def _resolve_base(base_uri: str) -> tuple[str, bool]:
    """A directory, or an http(s) URI without its trailing slash."""
    try:
        parts = urlsplit(base_uri)
    except ValueError:
        raise UsageError(f"{base_uri!r} is not a URI", "give a directory, or a file, http or https URI") from None
    if parts.scheme == "":
        return base_uri, False
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path), False
    if parts.username is not None:
        raise UsageError("the base URI holds a user name", "give it without one: it would show in every message")
    if parts.scheme in ("http", "https") and parts.hostname:
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), True
    raise UsageError(
        f"descriptors cannot be read from {base_uri!r}", "give a directory, or a file:///, http:// or https:// URI"
    )


def _read(path: Path, base: Path, ref: PodRef) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _not_found(path, base, ref) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreadable(str(path), reason, "make it a file that you may read") from None


def _not_found(path: Path, base: Path, ref: PodRef) -> DescriptorError:
    """Says what there is instead: the sibling file, the other PODs of the lab, or the other labs."""
    if not (base / "labs").is_dir():
        return _unreadable(str(path), "no such file", f"{base} has no directory labs/: give another base with -b")
    if not path.parent.is_dir():
        labs = sorted(child.name for child in _children(base / "labs") if child.is_dir())
        return _unreadable(str(path), f"there is no lab {ref.lab!r}", f"labs there: {', '.join(labs) or 'none'}")
    sibling = path.parent / (path.name.removeprefix("idf-") if path.name.startswith("idf-") else f"idf-{path.name}")
    if sibling.is_file():
        return _unreadable(str(path), "no such file", f"a POD needs a PDF and an IDF: write it beside {sibling.name}")
    pods = ", ".join(_find_pods(path.parent)) or "none"
    return _unreadable(str(path), f"lab {ref.lab!r} has no POD {ref.pod!r}", f"PODs there: {pods}")


def _find_pods(lab_dir: Path) -> list[str]:
    names = {child.name for child in _children(lab_dir)}
    return sorted(name.removesuffix(".yaml") for name in names if f"idf-{name}" in names and name.endswith(".yaml"))


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _fetch(uri: str) -> bytes:
    from iecpod.descriptors.remote import FetchFailed, fetch  # Python's HTTP client takes a tenth of a second to load

    try:
        return fetch(uri, MAX_BYTES)
    except FetchFailed as error:
        raise _unreadable(uri, str(error), error.remedy) from None


def _unreadable(file: str, message: str, remedy: str) -> DescriptorError:
    problem = Problem(file=file, message=message, remedy=remedy, rule="descriptor-missing")
    return DescriptorError([problem], f"{file}: {message}", remedy)
