"""apt on a node: the release's repositories, each with its key, and the packages that it names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from iecpod.deploy.node.systemd_job import run_job
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.errors import CommandFailed
from iecpod.ports import Shell
from iecpod.release.release import AptRepository, Release
from iecpod.render.bundle_install import HOLD, LINK_CNI
from iecpod.render.node_files import render_apt_source
from iecpod.render.package_locks import LOCK_SECONDS, UNTIL_UNLOCKED

_UNIT = "iecpod-packages.service"
#: A file, since systemd reads a unit of several lines wrong when packages have it reload its units.
_SCRIPT = "/run/iecpod-packages.sh"
_INSTALL_SECONDS = 900.0

#: What iecpod has written of a package's configuration stays; without a terminal, dpkg would give up asking.
_KEEP = "--force-confold"
_APT = (
    *("apt-get", "--quiet", "--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"),
    *("-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", "-o"),
)

#: In apt's words, of a repository that another key has signed: apt 3 asks sqv and not gpgv. `is not signed` it says
#: also of what was not fetched.
_NOT_TRUSTED = re.compile(r"GPG error|NO_PUBKEY|EXPKEYSIG|BADSIG|OpenPGP signature verification failed")


def install_packages(shell: Shell, release: Release, keys: Mapping[str, bytes], tools: PhaseTools) -> None:
    """Raises `CommandFailed` with what apt said last, `WaitTimeout`. `keys` are key rings by name of the repository.

    systemd runs it: where a run ends in the middle, dpkg does not, and the next run waits for it.
    """
    for repository in release.repositories:
        source = render_apt_source(repository)
        if source.key_path:
            shell.write_file(source.key_path, keys[repository.name])
        shell.write_file(source.path, source.text.encode())
    shell.write_file(_SCRIPT, _commands(release.packages).encode())
    try:
        run_job(shell, _UNIT, ["sh", "-e", _SCRIPT], seconds=_INSTALL_SECONDS, tools=tools, remedy="")
    except CommandFailed as error:
        error.remedy = f"{_remedy(release.repositories, error.tail)}; {tools.advice.resume}"
        raise


def _commands(packages: Sequence[str]) -> str:
    steps = [
        ["export", "DEBIAN_FRONTEND=noninteractive"],
        ["until_unlocked", "dpkg", "--configure", "--pending", _KEEP],  # after a power cut
        ["until_unlocked", *_APT, f"Dpkg::Options::={_KEEP}", "update"],
        [*_APT, f"Dpkg::Options::={_KEEP}", "install", "--", *packages],
    ]
    return "\n".join([UNTIL_UNLOCKED, *(shlex.join(step) for step in steps), HOLD, LINK_CNI])


def _remedy(repositories: Sequence[AptRepository], output: str) -> str:
    refused = "\n".join(line for line in output.splitlines() if _NOT_TRUSTED.search(line))
    if refused:
        named = [repository for repository in repositories if repository.uri.rstrip("/") in refused] or repositories
        keys = " ".join(f"--repository-key {repository.name}=FILE" for repository in named)
        return f"give the key that signs the repository, once you are sure of it: {keys}"
    return (
        "see whether nodes reach the servers that apt names and find there what the release names; --apt-mirror, "
        "--repository and --http-proxy lead them elsewhere"
    )
