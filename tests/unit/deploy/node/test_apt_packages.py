"""Nodes that install their packages with apt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from iecpod.deploy.node.systemd_job import START
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.design.deadline_factor import GuestSpeed
from iecpod.errors import CommandFailed
from iecpod.ports import BundleFiles, CommandResult
from iecpod.release.mirrors import Supply
from iecpod.release.release import AptRepository, Release
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.jobs import jobs_of, on_job
from tests.fakes.probes import IN_PLACE, MISSING
from tests.unit.conftest import make_release

LAB = AptRepository(name="lab", uri="http://packages.lab/debian", suites=("stable",), components=("main",), key_url="k")
SUPPLY = Supply(http_proxy="http://proxy:3128", registry_mirrors={"docker.io": "http://mirror:5000"})


def release(runtime: str = "docker", repository: AptRepository = LAB) -> Release:
    packages = ("docker.io", "kubeadm=1.20.2-*")
    return dataclasses.replace(make_release("1.20.2", runtime), repositories=(repository,), packages=packages)


def phase(shell: FakeShell, wanted: Release, *, low_overhead: bool = False) -> RuntimePhase:
    def no_bundle(_hostname: str, _is_sent: bool) -> BundleFiles:
        raise AssertionError("a release of packages has no bundle")

    def fetch_key(repository: AptRepository) -> bytes:
        return f"key of {repository.key_url}".encode()

    return RuntimePhase(
        wanted,
        SUPPLY,
        {"iec01": shell},
        fetch_key,
        no_bundle,
        fake_phase_tools(GuestSpeed(1.0, low_overhead=low_overhead)),
    )


def fresh_node(*, runs: bool = False, said: str = "") -> FakeShell:
    """Its runtime is at work already where it `runs`; apt fails where it has `said` something."""
    shell = FakeShell().on("sh", "-c", stdout=IN_PLACE if runs else MISSING).on("sh", "-euc").on("systemctl")
    return on_job(shell, result="exit-code", status=100, journal=said) if said else on_job(shell)


def test_what_packages_start_finds_its_files() -> None:
    """Docker reads its files at its first start, and sees that the node forwards."""
    shell = fresh_node()
    seen = set[str]()

    def run_apt(_argv: Sequence[str], _stdin: bytes) -> CommandResult:
        assert any("sysctl --quiet --system" in call[2] for call in shell.calls if call[:2] == ("sh", "-euc"))
        seen.update(shell.files)
        return CommandResult(0, "", "")

    shell.replace(("sh", "-c", START), run_apt)
    phase(shell, release(), low_overhead=True).run()
    assert seen == {
        "/etc/apt/keyrings/lab.gpg",
        "/etc/apt/sources.list.d/lab.sources",
        "/etc/docker/daemon.json",
        "/etc/modules-load.d/iecpod-kubernetes.conf",
        "/etc/sysctl.d/90-iecpod-kubernetes.conf",
        "/etc/systemd/system/containerd.service.d/20-iecpod-calm.conf",
        "/etc/systemd/system/docker.service.d/20-iecpod-calm.conf",
        "/etc/systemd/system/docker.service.d/20-iecpod-proxy.conf",
        "/etc/systemd/system/kubelet.service.d/20-iecpod-calm.conf",
        "/run/iecpod-packages.sh",
    }
    assert b"http://mirror:5000" in shell.files["/etc/docker/daemon.json"]
    assert not shell.called("systemctl", "restart")


def test_a_runtime_that_runs_already_reads_its_files_again() -> None:
    shell = fresh_node(runs=True)
    phase(shell, release()).run()
    assert shell.called("systemctl", "daemon-reload")
    restarts = [call for call in shell.calls if call[:2] == ("systemctl", "restart")]
    assert restarts == [("systemctl", "restart", "docker")]


def test_systemd_runs_apt() -> None:
    """So that it ends where a run of ours does not."""
    shell = fresh_node()
    phase(shell, release()).run()
    (job,) = jobs_of(shell)
    assert job == ("iecpod-packages.service", "sh", "-e", "/run/iecpod-packages.sh"), (
        "systemd's units have no lines within a line"
    )
    script = shell.files[job[-1]].decode()
    commands = script[script.index("export DEBIAN") :].split("\n")
    assert commands[0] == "export DEBIAN_FRONTEND=noninteractive"
    assert [words.removeprefix("until_unlocked ").split()[0] for words in commands[1:5]] == [
        *("dpkg", "apt-get", "apt-get", "apt-mark")
    ]
    assert commands[2].endswith(" update") and all(words.startswith("until_unlocked ") for words in commands[1:3])
    assert "-o DPkg::Lock::Timeout=900 " in commands[3]
    assert commands[3].endswith(" install -- docker.io 'kubeadm=1.20.2-*'") and "--force-confold" in commands[3]
    assert "ln -s /usr/lib/cni /opt/cni/bin" in script


def test_a_repository_without_a_key_is_left_to_the_distribution_s() -> None:
    shell = fresh_node()
    phase(shell, release(repository=dataclasses.replace(LAB, key_url=""))).run()
    assert "/etc/apt/keyrings/lab.gpg" not in shell.files
    assert b"Signed-By" not in shell.files["/etc/apt/sources.list.d/lab.sources"]


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "W: GPG error: http://packages.lab/debian stable InRelease: ... NO_PUBKEY 1234\n"
            "E: The repository 'http://packages.lab/debian stable InRelease' is not signed.",
            "give the key that signs the repository, once you are sure of it: --repository-key lab=FILE; "
            "resume with `iecpod deploy",
        ),
        (
            "Err:5 http://packages.lab/debian  InRelease\n"
            "  Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key 1234, which is "
            "needed to verify signature.\n"
            "W: OpenPGP signature verification failed: http://packages.lab/debian  InRelease: Sub-process /usr/bin/sqv "
            "returned an error code (1), error message is: Missing key 1234, which is needed to verify signature.\n"
            "E: The repository 'http://packages.lab/debian  InRelease' is not signed.",
            "give the key that signs the repository, once you are sure of it: --repository-key lab=FILE; "
            "resume with `iecpod deploy",
        ),
        (
            "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  500  Unable to connect\n"
            "E: The repository 'http://deb.debian.org/debian bookworm InRelease' is not signed.",
            "see whether nodes reach the servers that apt names",
        ),
    ],
)
def test_what_apt_refuses_is_reported_with_what_to_do(said: str, remedy: str) -> None:
    shell = fresh_node(said=f"{said}\n")
    with pytest.raises(CommandFailed) as caught:
        phase(shell, release()).run()
    assert caught.value.returncode == 100
    assert said in caught.value.cause and caught.value.remedy.startswith(remedy)


def test_only_the_repository_that_was_refused_needs_another_key() -> None:
    said = (
        "Hit:1 http://packages.lab/docker noble InRelease\n"
        "Get:2 http://packages.lab/debian stable InRelease [2 kB]\n"
        "Err:2 http://packages.lab/debian stable InRelease\n"
        "W: GPG error: http://packages.lab/debian stable InRelease: ... NO_PUBKEY 1234\n"
    )
    shell = fresh_node(said=said)
    docker = dataclasses.replace(LAB, name="docker", uri="http://packages.lab/docker/")
    with pytest.raises(CommandFailed) as caught:
        phase(shell, dataclasses.replace(release(), repositories=(LAB, docker))).run()
    assert "--repository-key lab=FILE;" in caught.value.remedy and "docker=FILE" not in caught.value.remedy
