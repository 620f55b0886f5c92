"""Which host keys of machines are believed; and that no password shows anywhere."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from iecpod.errors import NodeError
from iecpod.providers.existing.host_keys import judge_host_key
from iecpod.ssh.host_keys import known_host_keys
from iecpod.ssh_login import ExpectedKey, HostKey, Login, Password, check_user

ADDRESS = "10.169.36.152"


def key(number: int, kind: str = "ssh-ed25519") -> HostKey:
    name = kind.encode()
    blob = len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big") + bytes([number]) * 32
    return HostKey(kind, base64.b64encode(blob).decode())


NOTHING_GIVEN = Login()


def judge(
    offered: HostKey, login: Login = NOTHING_GIVEN, known: Iterable[HostKey] = (), revoked: Iterable[HostKey] = ()
) -> bool:
    return judge_host_key("iec01", ADDRESS, offered, login, known=frozenset(known), revoked=frozenset(revoked))


def test_known_hosts_that_is_a_pipe_has_no_keys(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "known_hosts")
    assert known_host_keys([tmp_path / "known_hosts"], ADDRESS, 22) == (frozenset(), frozenset())


def test_a_key_that_is_known_is_believed() -> None:
    assert judge(key(1), known=[key(1), key(2)]) is False


def test_a_new_key_is_refused_with_what_to_compare_it_with() -> None:
    with pytest.raises(NodeError) as refused:
        judge(key(1))
    fingerprint = key(1).fingerprint
    assert refused.value.cause == (
        f"iec01: {ADDRESS} offers the host key {fingerprint} (ssh-ed25519), "
        "which is not in known_hosts and was not given with --host-key"
    )
    assert f"--host-key {ADDRESS}={fingerprint}" in refused.value.remedy
    assert "--accept-new-host-keys" in refused.value.remedy


def test_a_new_key_may_be_taken_on_trust() -> None:
    assert judge(key(1), Login(accept_new=True)) is True


@pytest.mark.parametrize("login", [Login(), Login(accept_new=True)])
def test_another_key_than_the_known_one_is_never_taken_on_trust(login: Login) -> None:
    with pytest.raises(NodeError, match="known_hosts has SHA256:") as refused:
        judge(key(1), login, known=[key(2)])
    assert key(2).fingerprint in refused.value.cause and "ssh-keygen -R" in refused.value.remedy


def test_an_expected_key_counts_before_known_hosts() -> None:
    expects = Login(expected=(ExpectedKey("", key(1).fingerprint),), accept_new=True)
    assert judge(key(1), expects, known=[key(2)]) is False
    with pytest.raises(NodeError, match="--host-key expects"):
        judge(key(2), expects, known=[key(2)])


def test_an_expected_key_of_one_address_counts_before_one_of_any() -> None:
    both = (ExpectedKey("", key(1).fingerprint), ExpectedKey(ADDRESS, key(2).fingerprint))
    assert judge(key(2), Login(expected=both)) is False
    with pytest.raises(NodeError, match="--host-key expects"):
        judge(key(1), Login(expected=both))


def test_a_revoked_key_is_never_believed() -> None:
    everything = Login(accept_new=True, expected=(ExpectedKey("", key(1).fingerprint),))
    with pytest.raises(NodeError, match="which known_hosts revokes"):
        judge(key(1), everything, known=[key(1)], revoked=[key(1)])


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True)
    assert HostKey.parse((tmp_path / "key.pub").read_text()).fingerprint == shown.stdout.split()[1]


def test_known_hosts_are_read_as_ssh_does(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# a comment\n{ADDRESS},edge1 {key(1).line}\nother {key(2).line}\n[{ADDRESS}]:2222 {key(3).line}\n"
        f"@revoked * {key(4).line}\n@cert-authority * {key(5).line}\n{ADDRESS} ssh-ed25519 broken\n\n"
    )
    known, revoked = known_host_keys([file, tmp_path / "missing"], ADDRESS, 22)
    assert known == {key(1)} and revoked == {key(4)}
    assert known_host_keys([file], ADDRESS, 2222)[0] == {key(3)}
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert ADDRESS not in file.read_text()
    assert known_host_keys([file], ADDRESS, 22)[0] == {key(1)}


@pytest.mark.parametrize(
    "text",
    ["", "SHA256:short", "SHA256:" + "A" * 44, "ssh-ed25519", "ssh-ed25519 %%%", "-oProxyCommand=x SHA256:" + "A" * 43],
)
def test_what_is_no_host_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ExpectedKey.parse(text)


def test_host_keys_are_given_in_three_ways() -> None:
    fingerprint = key(1).fingerprint
    assert ExpectedKey.parse(fingerprint) == ExpectedKey("", fingerprint)
    assert ExpectedKey.parse(key(1).line + " comment") == ExpectedKey("", fingerprint)
    assert ExpectedKey.parse(f"{ADDRESS}={fingerprint}") == ExpectedKey(ADDRESS, fingerprint)
    assert ExpectedKey.parse(f"{ADDRESS}={key(1).line}") == ExpectedKey(ADDRESS, fingerprint)


@pytest.mark.parametrize("name", ["", "Root", "a b", "x;reboot", "-l", "a" * 40])
def test_what_is_no_user_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        check_user(name)


def test_a_password_shows_nowhere() -> None:
    login = Login(user="iec", password=Password("hunter2"))
    assert "hunter2" not in f"{login!r} {login} {login.password!r} {login.describe()} {login.password}"
    with pytest.raises(TypeError):
        pickle.dumps(login.password)
    assert login.password is not None and login.password.reveal() == "hunter2"


def test_what_is_tried_is_said() -> None:
    assert Login().describe() == "the agent's keys and those of this user"
    assert Login(password=Password("x"), key_files=(Path("/k"),)).describe() == (
        "the key /k and the password that was given"
    )
