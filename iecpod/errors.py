"""Problems and errors that people read, and the exit codes that jobs read.

IecpodError
├── UsageError                  2   a request that cannot be meant (unknown node name, option that does not fit)
├── DescriptorError             3   PDF, IDF, release or scenario file is not valid
├── PreflightError              4   the plan cannot work on this host; nothing was changed
├── HostError                   1   libvirt, storage or a local program failed
│   ├── HypervisorUnavailable   4   no libvirt there, or no permission; 1 in a phase, as it went away
│   ├── ResourceConflict        4   a name of ours is taken by an object that is not ours
│   ├── FileError               1   the operating system refused a file or stream, which is named with the reason
│   ├── PathRefused             4   a directory or file of iecpod's that others may change, or that cannot be used
│   ├── LockTimeout             1   a lock was held for longer than iecpod ever does; in `locks`
│   └── ImageError              1   an image or bundle could not be fetched, built or verified
├── NodeError                   1
│   ├── NodeUnreachable         1   nothing is known of what it has
│   │   ├── LoginRefused        1   it answers, and takes neither key nor password
│   │   └── HostKeyMismatch     1   another machine answers, or this one has another key
│   ├── ApiRefused              1   the API server says no, with a status of HTTP
│   ├── GuestStopped            1   its virtual machine was switched off while something was awaited of the POD
│   └── CommandFailed           1   argv, exit status and the tail of the output travel together
├── NodeErrors                  1   several nodes failed in one phase; holds every node's error
├── WaitTimeout                 5   carries what was awaited and the last observation
├── PodLocked                   4   another run holds the POD
└── CleanupError                7   teardown or gc left something behind; lists it
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from iecpod.printable import overwritten, printable_line


class ExitCode(enum.IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    DESCRIPTOR = 3
    PREFLIGHT = 4
    TIMEOUT = 5
    CHANGES_PENDING = 6
    LEFTOVERS = 7
    BUG = 70
    INTERRUPTED = 130


class Severity(enum.Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with one place; `path` is dotted, as in `idf.net_config.mgmt.mask`."""

    message: str
    remedy: str = ""
    file: str = ""
    line: int | None = None
    column: int | None = None
    path: str = ""
    rule: str = ""
    severity: Severity = Severity.ERROR

    def demoted(self, rules: Container[str]) -> Problem:
        """As a warning, where its rule is one of `rules`."""
        return replace(self, severity=Severity.WARNING) if self.rule in rules else self

    def rewritten(self, rewrite: Callable[[str], str]) -> Problem:
        """The same problem with its sentences changed."""
        return replace(self, message=rewrite(self.message), remedy=rewrite(self.remedy))

    def __str__(self) -> str:
        """A line, and one for the remedy: names and values of files stay in them, whatever is in those."""
        place = self.file
        if self.line is not None:
            place += f":{self.line}"
            if self.column is not None:
                place += f":{self.column}"
        parts = [part for part in (place, self.path) if part]
        rule = f" [{self.rule}]" if self.rule else ""
        printed = [f"{': '.join([*parts, f'{self.severity.value}: {self.message}'])}{rule}"]
        printed += [f"-> {self.remedy}"] if self.remedy else []
        return "\n    ".join(map(printable_line, printed))


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Each once: errors first, then warnings, each by place as a person goes through the files."""
    return sorted(
        set(problems),
        key=lambda problem: (
            problem.severity is Severity.WARNING,
            problem.file,
            problem.line or 0,
            problem.column or 0,
            problem.path,
            problem.message,
        ),
    )


def count_errors(problems: Iterable[Problem]) -> int:
    return sum(problem.severity is Severity.ERROR for problem in problems)


class IecpodError(Exception):
    """Base of all errors meant for people: a cause, a remedy, an exit code.

    `evidence` holds further lines that show why, such as the end of a console; empty where there are none.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.evidence = ""

    def hide(self, hide: Callable[[str], str]) -> None:
        """Changes every sentence of the error, so that it contains no secret."""
        self.cause, self.remedy, self.evidence = hide(self.cause), hide(self.remedy), hide(self.evidence)
        self.args = (self.cause,)


class UsageError(IecpodError):
    exit_code = ExitCode.USAGE


class _ProblemsError(IecpodError):
    def __init__(self, problems: Sequence[Problem], cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.problems = tuple(problems)

    def hide(self, hide: Callable[[str], str]) -> None:
        super().hide(hide)
        self.problems = tuple(problem.rewritten(hide) for problem in self.problems)


class DescriptorError(_ProblemsError):
    """One or more files are not valid; `problems` holds every one found."""

    exit_code = ExitCode.DESCRIPTOR


class PreflightError(_ProblemsError):
    """The plan cannot be carried out here; raised before anything is changed."""

    exit_code = ExitCode.PREFLIGHT


class HostError(IecpodError):
    pass


class HypervisorUnavailable(HostError):
    exit_code = ExitCode.PREFLIGHT


class ResourceConflict(HostError):
    exit_code = ExitCode.PREFLIGHT


class FileError(HostError):
    pass


class PathRefused(HostError):
    exit_code = ExitCode.PREFLIGHT


class ImageError(HostError):
    pass


class NodeError(IecpodError):
    """Something failed on one node; `node` is its host name."""

    def __init__(self, node: str, cause: str, remedy: str = "") -> None:
        super().__init__(f"{node}: {cause}", remedy)
        self.node = node


class NodeUnreachable(NodeError):
    pass


class LoginRefused(NodeUnreachable):
    pass


class HostKeyMismatch(NodeUnreachable):
    pass


class ApiRefused(NodeError):
    """The API server of that node has answered a request with a status that stands for a refusal; 404 is one."""

    def __init__(self, node: str, request: str, status: int, reason: str) -> None:
        super().__init__(node, f"the API server refuses `{request}` with {status}: {reason}")
        self.status = status


class GuestStopped(NodeError):
    def __init__(self, node: str) -> None:
        super().__init__(node, "its virtual machine does not run any more: it was switched off, or it ended")


class CommandFailed(NodeError):
    """A command on a node (or, with node `localhost`, on this host) exited non-zero."""

    def __init__(self, node: str, argv: Sequence[str], returncode: int, tail: str, remedy: str = "") -> None:
        command = " ".join(argv)
        shown = command.partition("\n")[0][:200]
        shown += "…" if shown != command else ""
        output = f"\n{overwritten(tail).rstrip()}" if tail.strip() else ""
        super().__init__(node, f"`{shown}` exited with {returncode}{output}", remedy)
        self.argv = tuple(argv)
        self.returncode = returncode
        self.tail = tail


class NodeErrors(IecpodError):
    """Every node that failed in a phase that ran on several nodes at once."""

    def __init__(self, failures: Mapping[str, IecpodError]) -> None:
        super().__init__(
            "\n".join(dict.fromkeys(error.cause for error in failures.values())),
            "\n".join(dict.fromkeys(error.remedy for error in failures.values() if error.remedy)),
        )
        self.failures = dict(failures)
        self.evidence = "\n".join(dict.fromkeys(error.evidence for error in failures.values() if error.evidence))
        if any(error.exit_code is ExitCode.TIMEOUT for error in failures.values()):
            self.exit_code = ExitCode.TIMEOUT


class WaitTimeout(IecpodError):
    exit_code = ExitCode.TIMEOUT

    def __init__(self, awaited: str, waited_seconds: float, last_seen: str, remedy: str = "") -> None:
        seen = f"; last seen: {last_seen}" if last_seen else ""
        super().__init__(f"{awaited}: not within {waited_seconds:.0f} s{seen}", remedy)
        self.awaited = awaited
        self.last_seen = last_seen


class PodLocked(IecpodError):
    exit_code = ExitCode.PREFLIGHT


class CleanupError(IecpodError):
    """`left` lists each leftover as `kind name`; `happened` says in words what it is left from."""

    exit_code = ExitCode.LEFTOVERS

    def __init__(self, left: Sequence[str], remedy: str = "", happened: str = "teardown left behind") -> None:
        super().__init__(f"{happened}: " + ", ".join(left), remedy)
        self.left = tuple(left)


class Interrupted(KeyboardInterrupt):
    """A signal in the middle of work that can be gone on with: a cause and a remedy, as errors have them."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
