"""What the scrubber cuts out, and what it leaves."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.deploy.kubectl.bootstrap_token import make_token
from iecpod.logs.scrub import Scrubber, secrets_of_descriptor, secrets_of_key, secrets_of_kubeconfig
from iecpod.yaml.document import load_yaml

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


#: What is written, and what is left of it; a second pass changes nothing any more.
NAMED = [
    ("  pass: hunter2\n  user: admin", "  pass: (secret)\n  user: admin"),
    ('{"password": "hunter2", "a": 1}', '{"password": "(secret)", "a": 1}'),
    ("curl --token=abc123 --password=x -v", "curl --token=(secret) --password=(secret) -v"),
    # environments
    ("PGPASSWORD=hunter2 psql", "PGPASSWORD=(secret) psql"),
    ('export PGPASSWORD="two words" x', 'export PGPASSWORD="(secret)" x'),
    ('["PGPASSWORD=two words", "A=b"]', '["PGPASSWORD=(secret)", "A=b"]'),
    (r'{"env": "[\"PGPASSWORD=two words\", \"A=b\"]"}', r'{"env": "[\"PGPASSWORD=(secret)\", \"A=b\"]"}'),
    ("MYSQL_PWD=x\nPWD=/root\n", "MYSQL_PWD=(secret)\nPWD=/root\n"),
    ("aws_secret_access_key = abc/def", "aws_secret_access_key = (secret)"),
    ("password=ab)cd,e;f\n", "password=(secret)\n"),
    # options
    ("x --password hunter2 -v", "x --password (secret) -v"),
    ("x --db-password hunter2 -v", "x --db-password (secret) -v"),
    ("x --password 'two words' -v", "x --password '(secret)' -v"),
    ("x --password -v", "x --password -v"),
    ("x\0--password\0hunter2\0-v", "x\0--password\0(secret)\0-v"),
    ('["--password", "two words", "-v"]', '["--password", "(secret)", "-v"]'),
    ("- --token\n- abc.def\n- -v", "- --token\n- (secret)\n- -v"),
    ("sshpass -p hunter2 ssh x", "sshpass -p (secret) ssh x"),
    ("ipmitool -I lanplus -U a -P hunter2 chassis", "ipmitool -I lanplus -U a -P (secret) chassis"),
    ("openssl -passin pass:abc -in x", "openssl -passin pass:(secret) -in x"),
    # names
    ("a=b&client_secret=xyz", "a=b&client_secret=(secret)"),
    ('client_secret: "a b c"', 'client_secret: "(secret)"'),
    ("api_key: abc\napiKey: abc\nX-Api-Key: abc", "api_key: (secret)\napiKey: (secret)\nX-Api-Key: (secret)"),
    ('"SecretAccessKey": "x", "accessToken": "y"', '"SecretAccessKey": "(secret)", "accessToken": "(secret)"'),
    ("passwd='two words' port='1'", "passwd='(secret)' port='1'"),
    ("<password>two words</password>", "<password>(secret)</password>"),
    # quotes
    ('token="a \\"b\\" c" d', 'token="(secret)" d'),
    (r"token=\"a b\" c", r"token=\"(secret)\" c"),
    ("password: 'it''s it' # x", "password: '(secret)' # x"),
    ('"password=a b" c', '"password=(secret)" c'),
    ('password="never closed\nnext', 'password="(secret)\nnext'),
    # YAML
    ("password: two words # x\n", "password: (secret)\n"),
    ("- password: two words\n", "- password: (secret)\n"),
    ("db: {password: two words, user: b}", "db: {password: (secret), user: b}"),
    ("password:\n  two words\nuser: a", "password:\n  (secret)\nuser: a"),
    ("password: |\n  one\n  two\nuser: a", "password: |\n  (secret)\nuser: a"),
    ("password: >-\n    one\n    two\n  user: a", "password: >-\n    (secret)\n  user: a"),
    ("passwords:\n- a b\n- c\nuser: x", "passwords:\n(secret)\nuser: x"),
    ("Password:\nhunter2\nnext line", "Password:\n(secret)\nnext line"),
    ('"password":\n   "a b",\n "x": 1', '"password":\n   "(secret)",\n "x": 1'),
    # headers and files of programs
    ("Authorization: Bearer abc.def-123", "Authorization: Bearer (secret)"),
    ('"authorization":"Basic dXNlcjpwYXNz"', '"authorization":"Basic (secret)"'),
    ('"Authorization":["Bearer abc"]', '"Authorization":["Bearer (secret)"]'),
    ("Proxy-Authorization: Negotiate YII=\nA: b", "Proxy-Authorization: Negotiate (secret)\nA: b"),
    ('Authorization: Digest username="u", response="0123"\nA: b', "Authorization: Digest (secret)\nA: b"),
    ("Authorization: abcdef", "Authorization: (secret)"),
    ("sent bearer 0123456789abcdef~x to it", "sent bearer (secret) to it"),
    ("Cookie: a=b; c=d\nA: b", "Cookie: (secret)\nA: b"),
    ('{"auths": {"r": {"auth": "dXNlcjpwYXNz"}}}', '{"auths": {"r": {"auth": "(secret)"}}}'),
    (r"{\"auth\":\"dXNlcjpwYXNz\"}", r"{\"auth\":\"(secret)\"}"),
    ("//r/:_authToken=abc\n_auth=dXNl", "//r/:_authToken=(secret)\n_auth=(secret)"),
    # shapes
    (f"got {JWT} back", "got (secret) back"),
    ("fetch https://me:hunter2@mirror.example/debian", "fetch https://(secret)@mirror.example/debian"),
    ("psql://u:p@ss@h/x", "psql://(secret)@h/x"),
    ("root:$6$salt$0123456789abcdef/ABC:19000:0", "root:(secret):19000:0"),
]


@pytest.mark.parametrize(("text", "expected"), NAMED)
def test_secrets_by_name_and_shape(text: str, expected: str) -> None:
    assert scrub(text) == expected
    assert scrub(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        'secret "x" not found, token has expired',
        "secretName: foo",
        "imagePullSecrets:\n- name: regcred",
        "volumes:\n  secret:\n    secretName: x",
        "password:\nuser: a",
        "Password:\n2026-11-24T10:00:00 iec01 sshd: x",
        'password: ""',
        "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key --kubelet-client-key=/etc/x.key",
        "Authorization:{Mode:Webhook} authorization-mode=[Node RBAC]",
        "compass: north, tokens > 3",
        '"auth": true',
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert scrub(text) == text


PGP = (
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n"
    + "\n".join(base64.b64encode(bytes(range(48 * line % 200, 48 * line % 200 + 48))).decode() for line in range(40))
    + "\n=twTO\n-----END PGP PRIVATE KEY BLOCK-----"
)
ENCRYPTED = PKCS8.replace("PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-1,2\n\n", 1)


@pytest.mark.parametrize("key", [PGP, ENCRYPTED])
def test_keys_with_headers_go_whole_and_in_part(key: str) -> None:
    lines = [line for line in key.splitlines() if len(line) >= 40 and "-----" not in line]
    for text in (f"before\n{key}\nafter\n", f"before\n{key.partition('-----END')[0]}\nafter\n"):
        cut = scrub(text)
        assert not [line for line in lines if line in cut]
        assert cut.startswith("before\n") and "after" in cut


def test_two_keys_and_what_is_between_them() -> None:
    assert scrub(f"{PKCS8}between\n{OPENSSH}after\n") == "(secret)\nbetween\n(secret)\nafter\n"
    torn = f"{PKCS8.partition('-----END')[0]}{OPENSSH}after\n"
    assert not [line for line in (*body(PKCS8), *body(OPENSSH)) if line in scrub(torn)]


def test_base64_in_lines_of_a_key_goes() -> None:
    wrapped = base64.encodebytes(EC).decode()
    assert scrub(f"key: |\n  {wrapped.replace(chr(10), chr(10) + '  ')}\nafter: x\n").splitlines()[-1] == "after: x"
    assert not [line for line in wrapped.splitlines() if line in scrub(f"key: |\n{wrapped}after: x\n")]
    certificate = base64.encodebytes(b"-----BEGIN CERTIFICATE-----\n" + bytes(range(200))).decode()
    assert scrub(certificate) == certificate


def in_base64(secret: str, before: str, after: str) -> list[str]:
    """In all three alignments, in both alphabets, in one line and in several."""
    content = [(before[:n] + secret + after).encode(errors="surrogateescape") for n in range(3)]
    coded = [
        code(text) for text in content for code in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes)
    ]
    return [text.decode() for text in coded]


def written(secret: str) -> list[str]:
    """As programs write a text into their logs."""
    element = ElementTree.Element("a", b=secret)
    element.text = secret
    in_json = json.dumps({"a": secret}), json.dumps({"a": secret}, ensure_ascii=False)
    return [
        f"({secret})",
        *in_json,
        json.dumps({"log": in_json[0]}),
        repr([secret]),
        ascii([secret]),
        f"?a={quote(secret, safe='')}&b",
        f"a:{quote(secret)}@",
        f"a={quote_plus(secret)}&b",
        re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), f"user%3a{quote(secret, safe='')}%0a"),
        shlex.join(["x", "-p", secret]),
        "'" + secret.replace("'", "''") + "'",
        f"a={html.escape(secret)};",
        ElementTree.tostring(element, encoding="unicode"),
    ]


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=("Cc", "Cf")), min_size=6)


@settings(deadline=None, max_examples=50)  # machines are shared
@given(SECRETS, st.text("ab cd", min_size=2, max_size=9), st.text("xy z", min_size=2, max_size=9))
def test_no_known_secret_survives_however_it_is_written(secret: str, before: str, after: str) -> None:
    scrubber = Scrubber({secret})
    for text in [*written(secret), *in_base64(secret, before, after)]:
        cut = scrubber.scrub_text(f"one\n {text} \ntwo")
        assert "(secret)" in cut and cut.startswith("one\n") and cut.endswith("\ntwo")
        left = cut.replace("(secret)", "")
        assert not [form for form in written_forms(secret) if form in left], text


def written_forms(secret: str) -> set[str]:
    plain = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    # Of base64 what is the secret's alone: see RFC 4648, section 4, for which bits a character holds.
    cores = {
        base64.b64encode(b"\0" * n + secret.encode() + b"\0\0")[-(-n * 8 // 6) : (n + len(secret.encode())) * 8 // 6]
        for n in range(3)
    }
    return plain | {core.decode() for core in cores}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ipmitool -P hunter-22 'hunter-22' xhunter-22y", "ipmitool -P (secret) '(secret)' x(secret)y"),
        ("mysql -phunter-22", "mysql -p(secret)"),
        ("secretary keeps secrets, not secret", "secretary keeps secrets, not (secret)"),
        ('user%3Asecret%0A "\\nsecret"', 'user%3A(secret)%0A "\\n(secret)"'),
        ("de-ad-be-ef-00-01 DE:AD:BE:EF:00:01", "(secret) (secret)"),
    ],
)
def test_known_texts_that_may_be_words_go_as_words_and_others_everywhere(text: str, expected: str) -> None:
    assert scrub(text, "hunter-22", "secret", "DE-AD-BE-EF-00-01") == expected


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


def lines(line: str) -> Callable[[int], str]:
    return lambda size: (line * (size // len(line) + 1))[:size]


BEGIN, END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
WORST: dict[str, Callable[[int], str]] = {
    "markers": lines(BEGIN),
    "beginnings": lines(f"{BEGIN}{'A' * 40}\n"),
    "ends": lines(f"{END}{'A' * 40}\n"),
    "almost markers": lines("-----BEGIN AAAA "),
    "one marker": lambda size: "-----BEGIN " + "A" * size,
    "base64": lines("QUFB"),
    "lines of base64": lines("A" * 64 + "\n"),
    "almost key lines": lines("A" * 39 + " " * 30 + "x\n"),
    "web tokens": lines("eyJaaaaaaaaaa."),
    "schemes": lines("http://"),
    "long authorities": lines("a://" + "b" * 300 + " "),
    "names": lines("password"),
    "names with signs": lines("password="),
    "opened quotes": lines('password="'),
    "escaped quotes": lines('password=\\"'),
    "backslashes": lambda size: 'token="' + "\\" * size,
    "values on next lines": lines("password:\n"),
    "blocks": lines("password: |\n "),
    "one block": lambda size: "token: |\n" + " a\n" * (size // 3),
    "lists": lines("token:\n- a\n"),
    "options": lines("--token "),
    "dashes": lines("-" * 79 + "token "),
    "programs": lines("ipmitool "),
    "headers": lines("authorization:"),
    "cookies": lines('cookie:\\"'),
    "spaces": lambda size: " " * size,
    "newlines": lambda size: "\n" * size,
    "a word": lambda size: "a" * size,
    "known": lines("hunter-2 hunter-22 "),
}


@pytest.mark.parametrize("kind", WORST)
def test_twice_as_long_takes_about_twice_as_long(kind: str) -> None:
    """What is quadratic takes four times as long; of the processor's time the least of several runs counts."""
    scrubber = Scrubber({*secrets_of_key(OPENSSH), "hunter-22", "secret"})
    scrubber.scrub_text("")
    texts = [WORST[kind](size) for size in (40_000, 80_000, 160_000)]
    took = [min(_seconds(scrubber, text) for _ in range(2)) for text in texts]
    assert min(took[1] / took[0], took[2] / took[1]) < 3, took


def _seconds(scrubber: Scrubber, text: str) -> float:
    start = time.process_time()
    scrubber.scrub_text(text)
    return time.process_time() - start
