"""What the scrubber cuts out, and what it leaves."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
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
    (f"x%3D{JWT}%26", "x%3D(secret)%26"),
    ("SSHPASS=x DBPASS=x MYPASS=x DBPWD=x", "SSHPASS=(secret) DBPASS=(secret) MYPASS=(secret) DBPWD=(secret)"),
    ("dbpass: x\nuserPass: x y", "dbpass: (secret)\nuserPass: (secret)"),
    (".dockerconfigjson: abc", ".dockerconfigjson: (secret)"),
    # values on the next line
    ("x --password \\\n  hunter2 -v", "x --password \\\n  (secret) -v"),
    ("x --password \\\n  'two words' -v", "x --password \\\n  '(secret)' -v"),
    (r"x --password \\\n  hunter2 -v", r"x --password \\\n  (secret) -v"),
    ("x --password \\\n  -v", "x --password \\\n  -v"),
    ("--password\n  x\n-v", "--password\n  (secret)\n-v"),
    ("--password\nx\n-v", "--password\n(secret)\n-v"),
    ("--password\n  -v\n", "--password\n  -v\n"),
    ("password=\n  x\nuser=b", "password=\n  (secret)\nuser=b"),
    ("password=\\\n  x", "password=\\\n  (secret)"),
    ('["--password","two words"]', '["--password","(secret)"]'),
    # URLs and XML
    ("a=b%26password%3Dx%26c%3Dd", "a=b%26password%3D(secret)%26c%3Dd"),
    ("a%253D1&password%253dx%20y&c", "a%253D1&password%253d(secret)&c"),
    ("%22password%22%3A%22x%22%2C%22a%22", "%22password%22%3A%22(secret)%22%2C%22a%22"),
    ('<password type="x">two words</password>', '<password type="x">(secret)</password>'),
    ('<db:password\n  type="x">x</db:password>', '<db:password\n  type="x">(secret)</db:password>'),
    ("<password>\n  x\n</password>", "<password>\n  (secret)\n</password>"),
    ("<password><![CDATA[x<y]]></password>", "<password><![CDATA[(secret)<y]]></password>"),
    ('&lt;password type="x"&gt;x&lt;/password&gt;', '&lt;password type="x"&gt;(secret)&lt;/password&gt;'),
    (r"\u003cpassword\u003ex\u003c/password\u003e", r"\u003cpassword\u003e(secret)\u003c/password\u003e"),
    # headers
    ('Authorization: Token token="x", b="c d"\nA: b', "Authorization: Token (secret)\nA: b"),
    (r'"Authorization":["Token token=\"x\""],"A":"b"', '"Authorization":["Token (secret)"],"A":"b"'),
    (r'curl -H "Authorization: Token token=\"x\"" a', 'curl -H "Authorization: Token (secret)" a'),
    ("curl -H 'Authorization: Token token=\"x\"' a", "curl -H 'Authorization: Token (secret)' a"),
    (r'"GET / \r\nAuthorization: Digest a=\"b\"\r\nB: c"', r'"GET / \r\nAuthorization: Digest (secret)\r\nB: c"'),
    ('Authorization: Hawk id="a", mac="b"', "Authorization: Hawk (secret)"),
    ("Authorization: SharedKey acct:abcd1234==\nA: b", "Authorization: (secret)\nA: b"),
    ('"Authorization":"SharedKey some words"', '"Authorization":"(secret)"'),
    ("Authorization%3A%20Bearer%20abc", "Authorization%3A%20Bearer%20(secret)"),
    ('"cookie":["a=\\"b\\"; c"],"d":1', '"cookie":["(secret)"],"d":1'),
    # user and password
    ('[a."r".auth]\n  auth = "dXNlcjpwYXNz"', '[a."r".auth]\n  auth = "(secret)"'),
    ("auth: dXNlcjpwYXNz\nauth: 'dXNlcjpwYXNzMQ=='", "auth: (secret)\nauth: '(secret)'"),
    ("crictl pull --auth dXNlcjpwYXNz x", "crictl pull --auth (secret) x"),
    ("curl -u a:x h", "curl -u a:(secret) h"),
    ("curl -sSku 'a:two words' -v", "curl -sSku 'a:(secret)' -v"),
    ("curl -ua:x -U b:y h", "curl -ua:(secret) -U b:(secret) h"),
    ("curl -s \\\n  -u a:x \\\n  h", "curl -s \\\n  -u a:(secret) \\\n  h"),
    ("x --user a:x --proxy-user=b:y", "x --user a:(secret) --proxy-user=b:(secret)"),
    ("x --user \\\n  a:x", "x --user \\\n  a:(secret)"),
    ('["curl","-u","a:x","--user","a:x"]', '["curl","-u","a:(secret)","--user","a:(secret)"]'),
    ("- curl\n- -u\n- a:x", "- curl\n- -u\n- a:(secret)"),
    ("skopeo copy --src-creds a:x b", "skopeo copy --src-creds a:(secret) b"),
    # tokens by their prefixes
    ("a ghp_0123456789abcdefghijABCDEFGHIJ012345 b", "a (secret) b"),
    ("a=gho_0123456789abcdefghijABCDEFGHIJ012345&b", "a=(secret)&b"),
    ("a github_pat_11ABCDEFG0123456789_abcdefghij b", "a (secret) b"),
    ("a glpat-abcdefghij-123456789 b", "a (secret) b"),
    ("xoxb-123456789012-abc xoxp-123456789012-abc xoxa-2-1234567890", "(secret) (secret) (secret)"),
    ("a AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY b", "a (secret) (secret) b"),
    ("AKIAIOSFODNN7EXAMPLE/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "(secret)/(secret)"),
    ("AKIAIOSFODNN7EXAMPLE\nsk: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "(secret)\nsk: (secret)"),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY,AKIAIOSFODNN7EXAMPLE", "(secret),(secret)"),
    ("join --a abcdef.0123456789abcdef b", "join --a (secret) b"),
]

#: Names and values that are values themselves.
PAIRED = [
    ('[{"name":"DB_PASSWORD","value":"x"}]', '[{"name":"DB_PASSWORD","value":"(secret)"}]'),
    ('{ "value" : "x y", "name" : "DB_PASSWORD" }', '{ "value" : "(secret)", "name" : "DB_PASSWORD" }'),
    ('{"name":"A_TOKEN","optional":true,"value":"x"}', '{"name":"A_TOKEN","optional":true,"value":"(secret)"}'),
    (r"{\"name\":\"A_TOKEN\",\"value\":\"x\"}", r"{\"name\":\"A_TOKEN\",\"value\":\"(secret)\"}"),
    ('{\n  "name": "A_TOKEN",\n  "value": "x"\n}', '{\n  "name": "A_TOKEN",\n  "value": "(secret)"\n}'),
    (
        '{"name":"A","value":"a"},{"name":"MYPASS","value":"x"},{"name":"B","value":"b"}',
        '{"name":"A","value":"a"},{"name":"MYPASS","value":"(secret)"},{"name":"B","value":"b"}',
    ),
    (
        "- name: PASSWORD\n  value: x y\n- name: B\n  value: b",
        "- name: PASSWORD\n  value: (secret)\n- name: B\n  value: b",
    ),
    (
        "- value: x y\n  name: PASSWORD\n- name: B\n  value: b",
        "- value: (secret)\n  name: PASSWORD\n- name: B\n  value: b",
    ),
    (
        "- value: b\n  name: B\n- value: x\n  name: PASSWORD",
        "- value: b\n  name: B\n- value: (secret)\n  name: PASSWORD",
    ),
    ("name: PASSWORD\nvalue: x\nname: B\nvalue: b", "name: PASSWORD\nvalue: (secret)\nname: B\nvalue: b"),
    (
        "- name: PASSWORD\n  value: >-\n    x\n    y\n- name: B",
        "- name: PASSWORD\n  value: >-\n    (secret)\n- name: B",
    ),
    ("- name: PASSWORD\n  value:\n    x y\n- name: B", "- name: PASSWORD\n  value:\n    (secret)\n- name: B"),
    ("- value: |\n    x\n    y\n  name: PASSWORD", "- value: |\n    (secret)\n  name: PASSWORD"),
    ("- {name: PASSWORD, value: x y}", "- {name: PASSWORD, value: (secret)}"),
    ('<env name="DB_PASSWORD" value="x y"/>', '<env name="DB_PASSWORD" value="(secret)"/>'),
    (
        "EnvVar{Name:A_TOKEN,Value:a,b,ValueFrom:nil,},EnvVar{Name:B,Value:b,ValueFrom:nil,},",
        "EnvVar{Name:A_TOKEN,Value:(secret),ValueFrom:nil,},EnvVar{Name:B,Value:b,ValueFrom:nil,},",
    ),
]


@pytest.mark.parametrize(("text", "expected"), NAMED + PAIRED)
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
        "compass=north BYPASS=1 bypass: true ENCOMPASS=a OLDPWD=/root multipass: started",
        "auth: webhooks\nauth = disabled\nauth: required password-auth",
        "[db]\n  password=\n  user=b",
        "password=\nuser=b",
        "- name: A_TOKEN\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: password\n- name: B\n  value: b",
        '{"name":"B","value":"b"},{"name":"A_TOKEN","valueFrom":{"key":"x"}},{"name":"C","value":"c"}',
        '- name: tls-private-key-file\n  value: "/etc/x.key"\n- name: enable-bootstrap-token-auth\n  value: "true"',
        "<secret type='ceph' uuid='1-2'/>\n<a/>",
        "docker run --user 1000:1000 x; ps -u root:x; systemctl --user status; curl -u http://a/b",
        "xapp-onboarder-5c8f9-x2x4k AKIA glpat- ghp_ 172.16.10.36:6443 eyJhdXRocyI",
        "NOPASSWD:ALL\nlock_passwd: true",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert scrub(text) == text


#: As kubelet, kubeadm, sshd, sudo and cloud-init print it.
LOG_LINES = """\
sshd[812]: Accepted publickey for root from 172.16.10.1 port 51234 ssh2: ED25519 SHA256:jT7o3cVbE6Jv1u0V8KkPbbFf1VhUO5oC
sshd[812]: Failed password for invalid user admin from 172.16.10.1 port 51234 ssh2
sshd[812]: pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)
sshd[812]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=172.16.10.1 user=root
sshd[812]: Connection closed by authenticating user root 172.16.10.1 port 51234 [preauth]; see /var/log/auth.log
sshd[812]: userauth_pubkey: password authentication is off, keyboard-interactive/pam is off
sudo:  iec : TTY=pts/0 ; PWD=/home/iec ; USER=root ; COMMAND=/usr/bin/kubeadm token list
systemd[1]: Dispatch Password Requests to Console Directory Watch was skipped because of an unmet condition check
cloud-init[512]: ci-info: no authorized SSH keys fingerprints found for user root
[preflight] Running pre-flight checks
[certs] Generating "apiserver-kubelet-client" certificate and key
[certs] Using certificateDir folder "/etc/kubernetes/pki"
[kubelet-start] Writing kubelet environment file with flags to file "/var/lib/kubelet/kubeadm-flags.env"
[bootstrap-token] configured RBAC rules to allow Node Bootstrap tokens to get nodes
[bootstrap-token] Configuring bootstrap tokens, cluster-info ConfigMap, RBAC Roles
[upload-certs] Skipping phase. Please see --upload-certs
[discovery] Successfully established connection with API Server "172.16.10.36:6443"
kubelet[812]: I1124 10:00:00.123456     812 server.go:212] "--pod-infra-container-image will not be pruned by the image"
kubelet[812]: I1124 10:00:00.1 reconciler_common.go:251] "operationExecutor.VerifyControllerAttachedVolume started for \
volume \\"kube-api-access-x2x4k\\" (UniqueName: \\"kubernetes.io/projected/9a1b-kube-api-access-x2x4k\\") pod \\"a\\""
kubelet[812]: E1124 10:00:00.1 secret.go:189] Couldn't get secret kube-system/regcred: failed to sync secret cache
kubelet[812]: W1124 10:00:00.1 reflector.go:561] object-"kube-system"/"coredns": failed to list *v1.ConfigMap
kubelet[812]: E1124 10:00:00.1 pod_workers.go:1301] "Error syncing pod, skipping" err="network is not ready" pod="a/b"
kube-apiserver[9]: I1124 10:00:00.1 plugins.go:160] Loaded 12 mutating admission controller(s): ServiceAccount,Priority
kube-apiserver[9]: Flag --service-account-signing-key-file="/etc/kubernetes/pki/sa.key" --token-auth-file=""
etcd[9]: {"level":"info","msg":"auth token simple","key":"value","name":"iec01","value-size":"3"}
GET https://172.16.10.36:6443/api/v1/namespaces/kube-system/secrets?limit=500&resourceVersion=0 200 OK in 3 milliseconds
"""


@pytest.mark.parametrize("line", LOG_LINES.splitlines())
def test_lines_of_ordinary_logs_stay(line: str) -> None:
    assert scrub(f"{line}\n{line}\n") == f"{line}\n{line}\n"


def test_ordinary_logs_stay_as_a_whole() -> None:
    recorded = Path(__file__).parents[1] / "recorded/e2e"
    for text in (LOG_LINES, *(path.read_text() for path in sorted(recorded.glob("*.log")))):
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
    "headers without credentials": lines("authorization: { "),
    "headers that are lists": lines("authorization: a b=c "),
    "headers that were cut": lines("authorization: digest (secret) "),
    "cookies without end": lines("cookie: "),
    "schemes without words": lines("authorization: bearer "),
    "pairs": lines("name: token value: "),
    "pairs in quotes": lines(r"name=token value='\\''"),
    "values before names": lines(r"value='\\''name=token,"),
    "blocks before names": lines(" value: |\n name: token\n"),
    "blocks behind names": lines(" name: token\n value: |\n"),
    "names without values": lines("name: token,"),
    "values without names": lines('value:"'),
    "pairs of Go": lines("Name:token,Value:"),
    "options with users": lines("--user "),
    "users in quotes": lines(r"--user '\''"),
    "short options": lines(" curl -u"),
    "options that continue": lines("--token \\\n"),
    "options on lines": lines("--token\n"),
    "users in base64": lines("auth:dXNl"),
    "one user in base64": lambda size: "auth: " + "QUFB" * (size // 4),
    "elements": lines("<token a"),
    "opened elements": lines("<token>"),
    "values in URLs": lines("token%3D"),
    "one value in a URL": lambda size: "token%3D" + "%20" * (size // 3),
    "names that end in pass": lines("apass"),
    "access keys": lines("AKIAIOSFODNN7EXAMPLE "),
    "secrets of access keys": lines("A" * 40 + " "),
    "tokens with prefixes": lines("ghp_glpat-xoxb-AKIA"),
    "docker configurations": lines("eyJhdXRocyI"),
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
