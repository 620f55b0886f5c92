"""What a deploy leaves for other programs, used as they would."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import HOSTNAMES, Iecpod

FILES = {"env": "env", "hosts": "hosts", "ssh-config": "ssh_config", "inventory": "inventory.yaml"}


def sh(script: str, *arguments: str) -> str:
    done = subprocess.run(
        ["sh", "-euc", script, "sh", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_are_what_export_prints(pod: Iecpod) -> None:
    for what, name in FILES.items():
        assert (pod.pod_dir / name).read_text() == pod.check("export", what)


def test_a_job_reaches_the_nodes_with_what_it_sourced(pod: Iecpod) -> None:
    script = '. "$1"; for node in $K8S_MASTER_IP iec02 iec03; do ssh -F "$SSH_CONFIG" $node hostname; done'
    assert sh(script, str(pod.pod_dir / "env")).split() == list(HOSTNAMES)


def test_the_kubeconfig_that_env_names_is_there(pod: Iecpod) -> None:
    assert sh('. "$1"; cat "$KUBECONFIG"', str(pod.pod_dir / "env")) == pod.check("kubeconfig")


def test_nodes_have_the_exported_hosts_themselves(pod: Iecpod) -> None:
    assert (pod.pod_dir / "hosts").read_text() in pod.on_node("iec02", "cat", "/etc/hosts")


def test_ansible_pings_all_nodes(pod: Iecpod) -> None:
    if shutil.which("ansible") is None:
        pytest.skip("there is no ansible here")
    answer = sh('. "$1"; ansible --inventory "$ANSIBLE_INVENTORY" all -m raw -a hostname', str(pod.pod_dir / "env"))
    assert all(f"{hostname} | CHANGED" in answer for hostname in HOSTNAMES)


def test_what_is_exported_holds_no_key(pod: Iecpod) -> None:
    key = "".join((pod.pod_dir / "keys" / "id_ed25519").read_text().splitlines()[1:-1])
    exported = "".join(Path(pod.pod_dir, name).read_text() for name in FILES.values())
    assert "PRIVATE KEY" not in exported and key[:60] not in exported


def test_a_deploy_that_stops_early_finds_what_is_there(pod: Iecpod) -> None:
    """With a trace of its commands: Fuel's -D."""
    done = pod.run("deploy", "-ee", "-f", "-D")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("stopped after reachable")
    assert pod.report()["until"] == "reachable"
    assert {phase["outcome"] for phase in pod.report()["phases"]} == {"in place"}
    assert " + iec01: " in done.stderr and " + libvirt: " in done.stderr
    assert "PRIVATE KEY" not in done.stderr
