"""Keys of a POD: made once, private, in formats that OpenSSH and paramiko read."""

from __future__ import annotations

import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest

from iecpod.errors import HostError
from iecpod.ssh.keys import ensure_pod_keys, find_pod_keys


def test_keys_are_made_once_and_reused(tmp_path: Path) -> None:
    first = ensure_pod_keys(tmp_path / "keys", "iecpod local/virtual1")
    again = ensure_pod_keys(tmp_path / "keys", "iecpod local/virtual1")
    assert first == again
    assert first.host_key("iec01") == again.host_key("iec01")
    assert first.host_key("iec01") != first.host_key("iec02")
    assert first.authorized_key.endswith(" iecpod local/virtual1")


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    keys = ensure_pod_keys(tmp_path / "pod" / "keys", "c")
    keys.host_key("iec01")
    keys.write_known_hosts({"iec01": keys.host_key("iec01")[1]})
    assert stat.S_IMODE(keys.directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.directory.iterdir()}
    assert modes == {"id_ed25519": 0o600, "ssh_host_ed25519_key-iec01": 0o600, "known_hosts": 0o600}


def test_paramiko_reads_the_pair(tmp_path: Path) -> None:
    keys = ensure_pod_keys(tmp_path, "c")
    key = paramiko.Ed25519Key.from_private_key_file(str(keys.private_key_file))
    assert keys.authorized_key == f"ssh-ed25519 {key.get_base64()} c"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_openssh_reads_keys_and_known_hosts(tmp_path: Path) -> None:
    keys = ensure_pod_keys(tmp_path, "c")
    _private, public = keys.host_key("iec01")
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(tmp_path / "ssh_host_ed25519_key-iec01")],
        capture_output=True,
        check=True,
        text=True,
    )
    assert derived.stdout.split()[:2] == public.split()[:2]
    keys.write_known_hosts({"172.16.10.36": public, "iec01": public, "172.16.10.37": keys.host_key("iec02")[1]})
    for name in ("172.16.10.36", "iec01"):
        found = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", str(keys.known_hosts_file)], capture_output=True, check=True, text=True
        )
        assert public.split()[1] in found.stdout


def test_known_hosts_is_replaced_whole(tmp_path: Path) -> None:
    keys = ensure_pod_keys(tmp_path, "c")
    keys.write_known_hosts({"10.0.0.1": "ssh-rsa AAAA"})
    keys.write_known_hosts(dict.fromkeys(("10.0.0.2", "iec02"), "ecdsa-sha2-nistp256 BBBB comment"))
    lines = keys.known_hosts_file.read_text().splitlines()
    assert lines == ["10.0.0.2 ecdsa-sha2-nistp256 BBBB", "iec02 ecdsa-sha2-nistp256 BBBB"]
    assert [path.name for path in tmp_path.iterdir() if "host_key" in path.name] == [], "none is made for them"


def test_find_makes_nothing(tmp_path: Path) -> None:
    assert find_pod_keys(tmp_path / "keys") is None
    assert not (tmp_path / "keys").exists()
    made = ensure_pod_keys(tmp_path / "keys", "c")
    found = find_pod_keys(tmp_path / "keys")
    assert found is not None
    assert found.authorized_key.split() == made.authorized_key.split()[:2]


def test_two_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_pod_keys(tmp_path / "keys", "c"), range(16)))
    assert len({keys.authorized_key for keys in made}) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["id_ed25519"]


def test_a_broken_key_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("not a key")
    with pytest.raises(HostError, match="id_ed25519") as caught:
        ensure_pod_keys(tmp_path, "c")
    assert "remove" in caught.value.remedy


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="file"):
        ensure_pod_keys(tmp_path / "file" / "keys", "c")
