"""Finds and reads the two files of a POD: `BASE/labs/LAB/POD.yaml` and `BASE/labs/LAB/idf-POD.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from iecpod.descriptors.lab_tree import explain_missing
from iecpod.errors import DescriptorError, Problem, UsageError
from iecpod.files.reader import is_directory, is_file, read_regular
from iecpod.model import PodRef
from iecpod.yaml.builder import MAX_BYTES
from iecpod.yaml.document import Document, load_yaml, split_path

#: Stands for a file that was not given or could not be read: nothing is said about it.
NOT_GIVEN = Document(None, "", 0)

#: A user, a host and a path, as scp writes them.
_SCP = re.compile(r"[^/@\s]+@[^/:\s]+:")
#: HTML or XML; no key of a descriptor begins so.
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<[!?A-Za-z]")
_BASE_IS_A_FILE = "give the directory that holds labs/ with -b; `iecpod validate FILE` checks a file alone"


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The two files as read, before any check beyond YAML; `NOT_GIVEN` for one that is not there."""

    pdf: Document
    idf: Document

    @property
    def are_both_given(self) -> bool:
        return self.pdf is not NOT_GIVEN and self.idf is not NOT_GIVEN

    def located(self, problem: Problem) -> Problem:
        """A problem that knows only its file and path, as the POD as values does, with line and column."""
        if problem.line is None and problem.path:
            for document in (self.pdf, self.idf):
                if document is not NOT_GIVEN and problem.file == document.file:
                    line, column = document.position(split_path(problem.path))
                    return replace(problem, line=line, column=column)
        return problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPod:
    """A POD as far as its files can be read; `problems` are those of reading. `name` is how people know it.

    `ref` is None where directory and file are named as no POD can be: such files are judged, and nothing more.
    """

    name: str
    ref: PodRef | None
    files: tuple[str, ...]
    descriptors: Descriptors
    problems: tuple[Problem, ...] = ()


def load_descriptors(base_uri: str, ref: PodRef) -> ReadPod:
    """Reads PDF and IDF below `base_uri`: a directory, or a `file://`, `http://` or `https://` URI.

    Raises `UsageError` for impossible URIs.
    """
    base, is_remote = _resolve_base(base_uri)
    names = (f"{ref.pod}.yaml", f"idf-{ref.pod}.yaml")
    problems: list[Problem] = []
    if is_remote:
        files = tuple(f"{base}/labs/{quote(ref.lab)}/{quote(name)}" for name in names)
        documents = [_document(file, _fetch, problems) for file in files]
    else:
        files = tuple(str(ref.below(Path(base, "labs")).with_name(name)) for name in names)
        documents = [_document(file, lambda file: _read(Path(file), ref, Path(base)), problems) for file in files]
    return ReadPod(name=str(ref), ref=ref, files=files, descriptors=Descriptors(*documents), problems=tuple(problems))


def load_files(paths: Sequence[Path]) -> list[ReadPod]:
    """Each PDF with its IDF and each IDF with its PDF, if the other is next to it; once if both are given.

    Raises `UsageError` for a directory.
    """
    for path in paths:
        if is_directory(path):
            raise UsageError(f"{path} is a directory", "give files, or check a whole base with --all -b")
    pairs = dict.fromkeys(map(_pdf_beside, paths))
    return [_load_pair(pdf, pdf.with_name(f"idf-{pdf.name}"), paths) for pdf in pairs]


def _pdf_beside(path: Path) -> Path:
    is_idf = path.name.startswith("idf-") and path.suffix in (".yaml", ".yml")
    return path.with_name(path.name.removeprefix("idf-")) if is_idf else path


def _load_pair(pdf: Path, idf: Path, given: Sequence[Path]) -> ReadPod:
    problems: list[Problem] = []
    files = [path for path in (pdf, idf) if path in given or is_file(path)]
    documents = {path: _document(str(path), lambda file: _read(Path(file)), problems) for path in files}
    descriptors = Descriptors(documents.get(pdf, NOT_GIVEN), documents.get(idf, NOT_GIVEN))
    if idf not in documents and _is_idf(descriptors.pdf):
        descriptors = Descriptors(NOT_GIVEN, descriptors.pdf)  # an IDF, though its name does not say so
    return ReadPod(
        name=str(files[0]),
        ref=_ref_of(pdf.absolute()),
        files=tuple(map(str, files)),
        descriptors=descriptors,
        problems=tuple(problems),
    )


def _ref_of(pdf: Path) -> PodRef | None:
    try:
        return PodRef(pdf.parent.name, pdf.stem)
    except UsageError:
        return None


def _is_idf(document: Document) -> bool:
    return isinstance(document.data, dict) and "idf" in document.data


def local_base(base_uri: str) -> Path:
    """The directory of a base whose labs and PODs are to be listed. Raises `UsageError` for one on a server."""
    base, is_remote = _resolve_base(base_uri)
    if is_remote:
        raise UsageError(
            f"the PODs of {base} cannot be listed: HTTP has no directories",
            "name one with -l and -p, or give a directory with -b",
        )
    return Path(base)


def _document(file: str, read: Callable[[str], bytes], problems: list[Problem]) -> Document:
    try:
        content = read(file)
        if _WEB_PAGE.match(content):
            raise _web_page(file, is_fetched=read is _fetch)
        return load_yaml(content, file)
    except DescriptorError as error:
        problems.extend(error.problems)
        return NOT_GIVEN


def _resolve_base(base_uri: str) -> tuple[str, bool]:
    """A directory, or an http(s) URI without its trailing slash."""
    try:
        parts = urlsplit(base_uri)
    except ValueError:
        raise UsageError(f"{base_uri!r} is not a URI", "give a directory, or a file, http or https URI") from None
    if _is_git(base_uri, parts.scheme, parts.path):
        raise UsageError("descriptors are not read from a git repository", "clone it, and give its directory with -b")
    if parts.scheme == "":
        return base_uri, False
    if parts.query or parts.fragment:
        raise UsageError(
            "the base URI holds a query or a fragment, which no file below it has",
            "give it without them; in a path, write %3F for a question mark and %23 for #",
        )
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path), False
    if parts.username is not None:
        raise UsageError("the base URI holds a user name", "give it without one: it would show in every message")
    if parts.scheme in ("http", "https") and parts.hostname:
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), True
    raise UsageError(
        f"descriptors cannot be read from {base_uri!r}", "give a directory, or a file:///, http:// or https:// URI"
    )


def _is_git(base_uri: str, scheme: str, path: str) -> bool:
    """By its scheme, by `.git` at the end of one on a server, or as scp has it: `git@host:path`."""
    if scheme == "":
        return _SCP.match(base_uri) is not None and not is_directory(Path(base_uri))
    return scheme.partition("+")[0] in ("git", "ssh") or (scheme != "file" and path.rstrip("/").endswith(".git"))


def _read(path: Path, ref: PodRef | None = None, base: Path | None = None) -> bytes:
    try:
        return read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError:
        message, remedy = explain_missing(path, ref, base) if ref and base else ("no such file", "check the path")
        raise _unreadable(str(path), message, remedy) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        is_base_a_file = base is not None and is_file(base)
        remedy = _BASE_IS_A_FILE if is_base_a_file else "make it a file that you may read"
        raise _unreadable(str(path), reason, remedy) from None


def _fetch(uri: str) -> bytes:
    from iecpod.descriptors.http_source import (  # Python's HTTP client takes a tenth of a second to load
        FetchFailed,
        fetch,
    )

    try:
        return fetch(uri, MAX_BYTES)
    except FetchFailed as error:
        raise _unreadable(uri, str(error), error.remedy) from None


def _web_page(file: str, *, is_fetched: bool) -> DescriptorError:
    if is_fetched:
        message = "the server answered a web page, such as for a login, instead of a descriptor"
        return _unreadable(file, message, "give the URI of raw files that can be read without a login (-b)")
    return _unreadable(file, "it is a web page, such as for a login, and no descriptor", "fetch the raw file")


def _unreadable(file: str, message: str, remedy: str) -> DescriptorError:
    problem = Problem(file=file, message=message, remedy=remedy, rule="descriptor-missing")
    return DescriptorError([problem], f"{file}: {message}", remedy)
