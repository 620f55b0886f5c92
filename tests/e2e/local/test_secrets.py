"""Secrets of a full run stay where they belong: nothing that others can read, or that is handed on, contains one."""

from __future__ import annotations

import base64
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import HOSTNAMES, Iecpod

#: Of the POD's directory: what holds secrets by its nature, and is for its owner only.
_SECRET = re.compile(r"keys/(id_ed25519|ssh_host_ed25519_key-\w+)|kubeconfig|pool/.*")
_PKI = "/etc/kubernetes/pki"
_MARK = "----- files that others can read -----"
_LOOK = f"""
journalctl --boot --no-pager --output=cat
ps -e -o args
echo '{_MARK}'
find /var/log /var/lib/cloud /run/cloud-init /etc /home /tmp /var/tmp -xdev -type f -perm -o+r -size -4096k \
    -exec grep -l -e '-----BEGIN .*PRIVATE KEY' -e 'client-key-data: LS0t' {{}} +
true
"""
_TOKEN_IN_USE = re.compile(r"(?:--token[ =]|token: )[a-z0-9]{6}\.[a-z0-9]{16}")


def lines_of(pem: str) -> set[str]:
    return {line.strip() for line in pem.splitlines() if len(line.strip()) >= 32 and "-----" not in line}


@pytest.fixture(scope="module")
def secrets(pod: Iecpod) -> frozenset[str]:
    """Lines of the private keys of POD, hosts, administrator and cluster."""
    found: set[str] = set()
    for path in (pod.pod_dir / "keys").iterdir():
        text = path.read_text()
        if "PRIVATE KEY" in text:
            found |= lines_of(text)
    (encoded,) = re.findall(r"client-key-data: (\S+)", (pod.pod_dir / "kubeconfig").read_text())
    found |= {encoded, *lines_of(base64.b64decode(encoded).decode())}
    found |= lines_of(pod.on_node("iec01", "sudo", "sh", "-c", f"cat {_PKI}/ca.key {_PKI}/sa.key {_PKI}/apiserver.key"))
    assert len(found) >= 4 * 3 + 2 + 3 * 2
    return frozenset(found)


def shown(secrets: frozenset[str], text: str) -> list[str]:
    """The beginnings of the secrets in a text: a failing test need not tell them all over."""
    return [secret[:8] + "…" for secret in secrets if secret in text]


def small_files(directory: Path) -> Iterator[Path]:
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def test_files_of_the_pod(pod: Iecpod, secrets: frozenset[str]) -> None:
    looked_at = set()
    for path in small_files(pod.root):
        name = str(path.relative_to(pod.pod_dir)) if path.is_relative_to(pod.pod_dir) else path.name
        if path.is_relative_to(pod.pod_dir) and _SECRET.fullmatch(name):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{name} can be read by others"
        else:
            looked_at.add(name)
            assert shown(secrets, path.read_bytes().decode(errors="replace")) == [], name
    assert {"iecpod.log", "report.json", "console/iec01.log", "libvirt/etc/qemu/local-virtual1-iec01.xml"} <= looked_at
    assert stat.S_IMODE((pod.root / "state" / "log" / "iecpod.log").stat().st_mode) == 0o600


def test_what_jobs_see(pod: Iecpod, secrets: frozenset[str]) -> None:
    for verb in ("status", "plan"):
        done = pod.run(verb)
        assert shown(secrets, done.stdout + done.stderr) == []


def test_argument_lists_of_this_machine(pod: Iecpod, secrets: frozenset[str]) -> None:
    seen = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended while we looked
    text = "\n".join(seen)
    assert "qemu-system" in text and "local-virtual1-iec01" in text
    assert shown(secrets, text) == [] and _TOKEN_IN_USE.findall(text) == []


def test_the_archive_of_logs(logs_archive: Path, secrets: frozenset[str]) -> None:
    with tarfile.open(logs_archive) as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            text = file.read().decode(errors="replace") if file else ""
            assert shown(secrets, text) == [] and _TOKEN_IN_USE.findall(text) == [], entry.name
            assert "PRIVATE KEY-----" not in text, entry.name


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_journal_processes_and_files_of_nodes(pod: Iecpod, secrets: frozenset[str], hostname: str) -> None:
    output, _, readable = pod.on_node(hostname, "sudo", "sh", "-c", _LOOK).partition(f"{_MARK}\n")
    assert "kubelet" in output
    assert shown(secrets, output) == [] and _TOKEN_IN_USE.findall(output) == []
    assert "PRIVATE KEY-----" not in output
    assert readable == ""


def test_no_bootstrap_token_is_left(pod: Iecpod) -> None:
    names = pod.kubectl("get", "secrets", "--namespace=kube-system", "-o", "name")
    assert "bootstrap-token-" not in names
