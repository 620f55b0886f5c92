"""The kubeconfig of this host is made of what the node's proves, and of nothing else in it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.admin_credentials import read_credentials
from iecpod.deploy.phases.kubeconfig import KubeconfigPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError, NodeUnreachable
from iecpod.yaml.document import dump_yaml, load_yaml
from tests.fakes import FakeShell, fake_phase_tools
from tests.unit.deploy.admin_conf import SERVER, admin, admin_conf, authority, config, encoded, new_key

ADMIN_CONF = "/etc/kubernetes/admin.conf"
RECORDED = Path(__file__).parents[2] / "recorded"


def made_of(cluster: DesiredCluster, path: Path, content: bytes) -> KubeconfigPhase:
    shell = FakeShell()
    shell.files[ADMIN_CONF] = content
    return KubeconfigPhase(cluster, AdminConf(cluster, shell), path, fake_phase_tools().waits)


def written(cluster: DesiredCluster, tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "kubeconfig"
    made_of(cluster, path, content).run()
    return path.read_text()


def test_it_is_for_its_owner_only_and_in_place_the_second_time(cluster: DesiredCluster, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    phase = made_of(cluster, path, admin_conf())
    assert phase.probe() is None
    phase.run()
    assert path.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [path]
    assert phase.probe() == str(path)
    path.write_bytes(admin_conf())
    assert phase.probe() is None, "as an earlier version left it"


class _Late(FakeShell):
    """Does not answer the first time."""

    asked = 0

    def read_file(self, path: str) -> bytes:
        self.asked += 1
        if self.asked == 1:
            raise NodeUnreachable(self.node, "no route to host")
        return super().read_file(path)


def test_it_is_not_written_again_for_a_node_that_answers_late(cluster: DesiredCluster, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    made_of(cluster, path, admin_conf()).run()
    shell = _Late()
    shell.files[ADMIN_CONF] = admin_conf()
    assert KubeconfigPhase(cluster, AdminConf(cluster, shell), path, fake_phase_tools().waits).probe() == str(path)


def test_its_names_are_ours_and_its_values_the_clusters(cluster: DesiredCluster, tmp_path: Path) -> None:
    key, certificate = admin()
    assert load_yaml(written(cluster, tmp_path, admin_conf()), "x").data == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "local-virtual1",
                "cluster": {"server": SERVER, "certificate-authority-data": encoded(authority().certificate)},
            }
        ],
        "users": [
            {
                "name": "local-virtual1-admin",
                "user": {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
            }
        ],
        "contexts": [
            {"name": "local-virtual1", "context": {"cluster": "local-virtual1", "user": "local-virtual1-admin"}}
        ],
        "current-context": "local-virtual1",
    }


def hostile() -> dict[str, Any]:
    """Everything with which a kubeconfig makes kubectl run, read or trust something (client-go, `api/v1/types.go`)."""
    made = config()
    made["clusters"][0]["cluster"] |= {
        "proxy-url": "http://192.0.2.1:3128",
        "insecure-skip-tls-verify": True,
        "tls-server-name": "evil.example",
        "certificate-authority": "/etc/shadow",
        "extensions": [{"name": "x", "extension": {}}],
    }
    made["users"][0]["user"] |= {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "id > /pwned"]},
        "auth-provider": {"name": "gcp", "config": {"cmd-path": "/bin/sh"}},
        "tokenFile": "/root/.ssh/id_rsa",
        "client-key": "/root/key",
        "client-certificate": "/root/certificate",
        "token": "abcdef",
        "username": "u",
        "password": "p",
        "as": "system:admin",
    }
    return made


def test_nothing_that_a_hostile_node_adds_comes_over(cluster: DesiredCluster, tmp_path: Path) -> None:
    sound = written(cluster, tmp_path, admin_conf())
    assert written(cluster, tmp_path, dump_yaml(hostile()).encode()) == sound


def test_what_stands_around_the_pem_does_not_come_over(cluster: DesiredCluster, tmp_path: Path) -> None:
    sound, made = written(cluster, tmp_path, admin_conf()), config()
    for part, name in (("clusters", "certificate-authority-data"), ("users", "client-certificate-data")):
        values = made[part][0][part[:-1]]
        values[name] = base64.b64encode(b"subject=\x1b[2J\n" + base64.b64decode(values[name]) + b"trailing").decode()
    assert written(cluster, tmp_path, dump_yaml(made).encode()) == sound


def _rsa_key() -> str:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return base64.b64encode(pem).decode()


def _dsa_key() -> str:
    pem = dsa.generate_private_key(2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(pem).decode()


def _cluster(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda made: made["clusters"][0]["cluster"].update(values)


def _user(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda made: made["users"][0]["user"].update({key.replace("_", "-"): value for key, value in values.items()})


def _ca(value: object) -> Callable[[dict[str, Any]], None]:
    return _cluster(**{"certificate-authority-data": value})


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another server": (_cluster(server="https://192.0.2.1:6443"), f"does not name the API server {SERVER}"),
    "a path behind it": (_cluster(server=SERVER + "/x"), "does not name the API server"),
    "no server": (lambda made: made["clusters"][0]["cluster"].pop("server"), "does not name the API server"),
    "two clusters": (lambda made: made["clusters"].append(made["clusters"][0]), "does not have one entry in clusters"),
    "no users": (lambda made: made["users"].clear(), "does not have one entry in users"),
    "a user that is text": (lambda made: made["users"][0].update(user="x"), "has no user in users"),
    "an entry that is text": (lambda made: made.update(users=["x"]), "has no user in users"),
    "no CA": (_ca(None), "has no base64 of a usual length as certificate-authority-data"),
    "no base64": (_ca("-----BEGIN"), "has no base64"),
    "no certificate": (_ca(base64.b64encode(b"x").decode()), "has no certificate as certificate-authority-data"),
    "a key for a CA": (_ca(encoded(new_key())), "has no certificate as certificate-authority-data"),
    "a list for a CA": (_ca([1]), "has no base64"),
    "an endless CA": (_ca("A" * 40_000), "has no base64 of a usual length"),
    "two CAs": (
        _ca(base64.b64encode(2 * base64.b64decode(encoded(authority().certificate))).decode()),
        "has 2 certificates as certificate-authority-data, not one",
    ),
    "another CA": (_ca(encoded(authority("another").certificate)), "has not signed"),
    "a CA of the same name": (
        _user(client_certificate_data=encoded(authority("kubernetes ").issue(admin()[0]))),
        "has not signed",
    ),
    "no key": (_user(client_key_data=None), "has no base64 of a usual length as client-key-data"),
    "a certificate for a key": (_user(client_key_data=encoded(admin()[1])), "has no private key as client-key-data"),
    "another key": (_user(client_key_data=encoded(new_key())), "does not belong to its client-certificate-data"),
    "an RSA key": (_user(client_key_data=_rsa_key()), "does not belong to its client-certificate-data"),
    "a DSA key": (_user(client_key_data=_dsa_key()), "another kind than RSA or EC"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_prove_itself_is_refused(cluster: DesiredCluster, tmp_path: Path, fault: str) -> None:
    change, words = FAULTS[fault]
    made = config()
    change(made)
    path = tmp_path / "kubeconfig"
    phase = made_of(cluster, path, dump_yaml(made).encode())
    assert phase.probe() is None
    with pytest.raises(NodeError) as caught:
        phase.run()
    assert words in caught.value.cause and caught.value.cause.startswith(f"iec01: {ADMIN_CONF} ")
    assert caught.value.remedy and not path.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not have one entry in clusters"),
        (b"kind: Config\n", "does not have one entry in clusters"),
        (b"[1, 2]", "does not have one entry in clusters"),
        (b"{", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n" + b"c: !!python/object/apply:os.system [id]\n", "is not YAML"),
        (b"[" * 5000, "is not YAML"),
        (b"#" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_what_is_no_kubeconfig_is_refused(cluster: DesiredCluster, tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(NodeError) as caught:
        made_of(cluster, tmp_path / "kubeconfig", content).run()
    assert words in caught.value.cause and list(tmp_path.iterdir()) == []


def test_that_of_kubeadm_is_taken(cluster: DesiredCluster, tmp_path: Path) -> None:
    """Of 1.20.2 with ECDSA keys; the serial number of its CA is 0."""
    recorded = (RECORDED / "admin.conf").read_bytes()
    theirs = load_yaml(recorded, "x").data["clusters"][0]["cluster"]  # type: ignore[index]
    ours = load_yaml(written(cluster, tmp_path, recorded), "x").data["clusters"][0]["cluster"]  # type: ignore[index]
    assert ours == theirs


def test_credentials_do_not_show_the_key() -> None:
    assert "PRIVATE" not in repr(read_credentials("iec01", ADMIN_CONF, admin_conf(), SERVER))
