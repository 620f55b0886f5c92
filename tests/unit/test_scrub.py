"""What the scrubber cuts out, and what it leaves."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from iecpod.commands.scrub import Scrubber, secrets_of_descriptor, secrets_of_key, secrets_of_kubeconfig
from iecpod.phases.bootstrap_token import make_token
from iecpod.yaml_document import load_yaml

OPENSSH = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
EC = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
PKCS8 = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
KEYS = (OPENSSH, EC.decode(), PKCS8)
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
HARMLESS = """\
2026-11-24T10:00:00+0000 iec01 kubelet[812]: I1124 10:00:00.1 reconciler.go:224] volume "kube-proxy" (UID: "9a1b")
-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIBADAKBggqhkjOPQQDAjAjMSEwHwYDVQQDDBhrM3Mtc2VydmVyLWNhQDE2
-----END CERTIFICATE-----
sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945 https://172.16.10.36:6443/api?timeout=32s
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYm9ib2JvYm9ib2JvYm9ib2JvYm9ib2JvYm9ib2Jv iec01
nginx-4bf2z.17a1b2c3d4e5f607 k8s.gcr.io/kube-proxy:v1.20.2 password-less tokens passed: 3
"""


def scrub(text: str, *known: str) -> str:
    return Scrubber(frozenset(known)).scrub_text(text)


def body(key: str) -> list[str]:
    return [line for line in key.splitlines() if not line.startswith("-")]


def test_what_is_no_secret_stays() -> None:
    text = HARMLESS.replace("passed: 3", "passed 3")
    assert scrub(text) == text


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "write",
    [
        lambda key: key,
        lambda key: "\n".join("      " + line for line in key.splitlines()),
        lambda key: "\n".join(f"Nov 24 10:00:0{i} iec01 x[1]: {line}" for i, line in enumerate(key.splitlines())),
        lambda key: json.dumps({"ssh_keys": {"ed25519_private": key}}),
        lambda key: key.replace("\n", "\r\n"),
    ],
)
def test_private_keys_go_however_they_are_written(key: str, write: object) -> None:
    cut = scrub(f"{HARMLESS}before {write(key)} after\n{HARMLESS}")  # type: ignore[operator]
    assert not [line for line in body(key) if line in cut]
    assert "before" in cut and "after" in cut and cut.count("sha256:4f53") == 2 and "AAAAC3NzaC1lZDI1NTE5" in cut


@pytest.mark.parametrize("key", KEYS)
def test_parts_of_keys_go_too(key: str) -> None:
    lines = key.splitlines()
    for index in range(1, len(lines)):
        tail, head = "\n".join(lines[index:]), "\n".join(lines[:index])
        for text in (tail[5:] + "\nafter\n", "before\n" + head + "\n\nafter\n"):
            cut = scrub(text)
            assert not [line for line in body(key) if len(line) >= 40 and (line in cut or line[5:] in cut)]
            assert "after" in cut


def test_known_lines_of_keys_go_wherever_they_are() -> None:
    text = f"core dump {body(OPENSSH)[2]} and {json.dumps('x' + chr(10) + body(OPENSSH)[1])}"
    cut = scrub(text, *secrets_of_key(OPENSSH))
    assert cut == 'core dump (secret) and "x\\n(secret)"'


def test_keys_in_base64_go_and_certificates_stay() -> None:
    key = base64.b64encode(EC).decode()
    certificate = base64.b64encode(
        b"-----BEGIN CERTIFICATE-----\nMIIBdjCCAR2gAwIBAgIBADAKBggqhkjOPQQDAjAjMSE\n"
    ).decode()
    cut = scrub(f"certificate-authority-data: {certificate}\nclient-key-data: {key}\nother: {key[:90]}\n")
    assert cut == f"certificate-authority-data: {certificate}\nclient-key-data: (secret)\nother: (secret)\n"


@given(st.integers(0, 7))
def test_every_token_goes(wrap: int) -> None:
    token = make_token()
    before, after = (
        ("", ""),
        ("--token=", " "),
        ('"', '"'),
        ("(", ")."),
        ("is ", "."),
        ("\n", "\n"),
        ("=", "&"),
        (": ", ","),
    )[wrap]
    assert token not in scrub(f"x {before}{token}{after} y")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer (secret)"),
        ('"authorization":"Basic dXNlcjpwYXNz"', '"authorization":"Basic (secret)"'),
        (f"got {JWT} back", "got (secret) back"),
        ("fetch https://me:hunter2@mirror.example/debian", "fetch https://(secret)@mirror.example/debian"),
        ("root:$6$salt$0123456789abcdef/ABC:19000:0", "root:(secret):19000:0"),
        ("  pass: hunter2\n  user: admin", "  pass: (secret)\n  user: admin"),
        ('{"password": "hunter2", "a": 1}', '{"password": "(secret)", "a": 1}'),
        ("curl --token=abc123 --password=x -v", "curl --token=(secret) --password=(secret) -v"),
    ],
)
def test_credentials_by_what_they_are_called(text: str, expected: str) -> None:
    assert scrub(text) == expected
    assert scrub(expected) == expected


@given(
    st.text("abcXYZ019-_.+*?()[]$", min_size=6, max_size=40).filter(
        lambda text: text[0].isalnum() and text[-1].isalnum()
    )
)
def test_known_passwords_go_as_whole_words(password: str) -> None:
    cut = scrub(f"ipmitool -P {password} -H x; '{password}' x{password}", password)
    assert cut.startswith("ipmitool -P (secret) -H x; '(secret)'")


def test_everyday_words_stay_where_they_are_no_password() -> None:
    assert scrub("network admin\npass: admin", "admin") == "network admin\npass: (secret)"


@given(st.binary(max_size=400))
def test_what_is_no_text_stays(content: bytes) -> None:
    scrubber = Scrubber()
    once = scrubber.scrub(b"\xff\xfe" + content)
    assert once.startswith(b"\xff\xfe") and scrubber.scrub(once) == once


def test_secrets_of_files() -> None:
    kubeconfig = f"users:\n- user:\n    client-key-data: {base64.b64encode(EC).decode()}\n    token: abcdefgh\n"
    found = set(secrets_of_kubeconfig(kubeconfig))
    assert {
        "abcdefgh",
        base64.b64encode(EC).decode(),
        *(line for line in body(EC.decode()) if len(line) >= 32),
    } == found
    document = load_yaml(
        "nodes:\n- remote_management: {user: root, pass: hunter22, address: x}\n  ipmi_password: s3cret\n", "x"
    )
    assert set(secrets_of_descriptor(document.texts())) == {"hunter22", "s3cret"}
