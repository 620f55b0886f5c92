"""hiera-eyaml values: accepted where text may stand, decrypted where keys are given, and never shown."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from iecpod.descriptors.encrypted import check_needed
from iecpod.descriptors.eyaml_keys import load_eyaml_keys
from iecpod.descriptors.load_pod import CheckedDescriptors, check_descriptors, decrypt_and_check, load_pod
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import Descriptors
from iecpod.descriptors.redaction import Secrets
from iecpod.errors import DescriptorError, HostError, PreflightError, Problem, UsageError
from iecpod.model import PodRef
from iecpod.yaml.document import Document, dotted_path, dump_yaml, load_yaml
from tests.unit.descriptors.broken_pod import DATA_DIR, SCHEMAS_DIR, break_document, break_pod, sound_text
from tests.unit.descriptors.eyaml_pair import Pair, wrap

REF = PodRef("lab", "pod")
#: An envelope in form, for what is not decrypted.
SOME_ENVELOPE = wrap(b"\x30\x82\x01\x00" + bytes(256))
PASSWORD = "jumphost.remote_management.pass"
MEMORY = "nodes[1].node.memory"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("eyaml"), "lab")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("eyaml"), "stranger")


def decrypted(pair: Pair, pdf: dict[str, object], idf: dict[str, object] | None = None) -> CheckedDescriptors:
    return decrypt_and_check(break_pod(pdf, idf), SCHEMAS_DIR, pair.decrypt)


def value_at(document: Document, path: str) -> object:
    return {dotted_path(place): text for place, text in document.texts()}[path]


FORMS = {
    "plain": "pass: {token}",
    "quoted": "pass: '{token}'",
    "folded block": "pass: >\n{block}",
    "literal block": "pass: |\n{block}",
    "folded plain text": "pass:\n{block}",
    "without its method": "pass: {bare}",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_eyaml_writes(pair: Pair, form: str) -> None:
    token = pair.encrypt("s3cret")
    block = textwrap.indent("\n".join(textwrap.wrap(token, 60, break_on_hyphens=False)), "  ")
    text = FORMS[form].format(token=token, block=block, bare=token.replace("PKCS7,", ""))
    pdf = load_yaml(sound_text("virtual.yaml").replace("    pass: secret\n", textwrap.indent(text, "    ") + "\n"), "x")
    checked = decrypt_and_check(Descriptors(pdf, break_pod().idf), SCHEMAS_DIR, pair.decrypt)
    assert checked.problems == ()
    assert value_at(checked.descriptors.pdf, PASSWORD) == "s3cret"


@pytest.mark.parametrize("secret", ["", "a\nb", "é", "x" * 5000, "ENC[PKCS7,x]", "pass\\word"])
def test_what_was_encrypted_comes_out(pair: Pair, secret: str) -> None:
    assert value_at(decrypted(pair, {PASSWORD: pair.encrypt(secret)}).descriptors.pdf, PASSWORD) == secret


def test_a_last_newline_is_cut_as_hiera_does(pair: Pair) -> None:
    assert value_at(decrypted(pair, {PASSWORD: pair.encrypt("x\n")}).descriptors.pdf, PASSWORD) == "x"


def test_secrets_within_text(pair: Pair) -> None:
    uri = f"qemu{pair.encrypt(':///')}{pair.encrypt('system')}"
    checked = decrypted(pair, {f"nodes[{index}].remote_management.address": uri for index in range(3)})
    assert checked.problems == ()
    assert value_at(checked.descriptors.pdf, "nodes[1].remote_management.address") == "qemu:///system"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_envelopes_of_openssl_itself(tmp_path: Path, digest: str) -> None:
    """The calls of hiera-eyaml's own documentation."""
    create = "openssl req -x509 -nodes -days 100000 -newkey rsa:2048 -keyout key.pem -out cert.pem -subj /"
    subprocess.run([*create.split(), f"-{digest}"], cwd=tmp_path, check=True, capture_output=True)
    encrypt = ["openssl", "smime", "-encrypt", "-binary", "-aes256", "-outform", "DER", "cert.pem"]
    envelope = subprocess.run(encrypt, cwd=tmp_path, check=True, capture_output=True, input=b"s3cret").stdout
    assert load_eyaml_keys(tmp_path / "key.pem", tmp_path / "cert.pem")(envelope) == "s3cret"


TEXT_PLACES = [
    (name, dotted_path(path))
    for name in ("virtual.yaml", "idf-virtual.yaml")
    for path, _ in break_document(name, {}).texts()
]


@pytest.mark.parametrize(("name", "path"), TEXT_PLACES)
def test_encrypted_text_is_accepted_everywhere(name: str, path: str) -> None:
    """And is either named as needed for a deploy, or a deploy does without it."""
    edits = {path: SOME_ENVELOPE}
    pod = break_pod(edits) if name == "virtual.yaml" else break_pod(None, edits)
    problems = check_descriptors(pod, SCHEMAS_DIR)
    assert problems == []
    needed = check_needed(pod, with_hypervisor=True)
    assert [problem.path for problem in needed] in ([], [path])
    if not needed:
        assert parse_pod(REF, pod).ref == REF


NEEDED = "the value is encrypted, and a deploy needs it"
KEYS = "give the lab's hiera-eyaml keys with --eyaml-private-key and --eyaml-public-key"


def test_a_deploy_names_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    base = write_base(
        tmp_path,
        break_pod(
            {MEMORY: SOME_ENVELOPE, PASSWORD: SOME_ENVELOPE, "nodes[0].remote_management.address": SOME_ENVELOPE},
            {"idf.net_config.mgmt.network": SOME_ENVELOPE, "idf.net_config.storage.network": SOME_ENVELOPE},
        ),
    )
    expected = [("idf.net_config.mgmt.network", NEEDED, KEYS), (MEMORY, NEEDED, KEYS)]
    assert refusal(base, with_hypervisor=False) == expected
    assert refusal(base, with_hypervisor=True) == [
        expected[0],
        ("nodes[0].remote_management.address", NEEDED, KEYS),
        expected[1],
    ]


def refusal(base: Path, *, with_hypervisor: bool) -> list[tuple[str, str, str]]:
    with pytest.raises(DescriptorError) as caught:
        load_pod(str(base), REF, SCHEMAS_DIR, with_hypervisor=with_hypervisor)
    assert all(problem.line and problem.file for problem in caught.value.problems)
    return [(problem.path, problem.message, problem.remedy) for problem in caught.value.problems]


def write_base(base: Path, pod: Descriptors) -> Path:
    lab = base / "labs" / "lab"
    lab.mkdir(parents=True)
    (lab / "pod.yaml").write_text(dump_yaml(pod.pdf.data))
    (lab / "idf-pod.yaml").write_text(dump_yaml(pod.idf.data))
    return base


def test_a_pod_with_every_text_encrypted_is_the_same_pod(pair: Pair, tmp_path: Path) -> None:
    plain = break_pod()
    hidden = Descriptors(plain.pdf.with_texts(pair.encrypt), plain.idf.with_texts(pair.encrypt))
    loaded = load_pod(str(write_base(tmp_path, hidden)), REF, SCHEMAS_DIR, pair.decrypt)
    spec = parse_pod(REF, plain)
    assert (loaded.spec.pdf, loaded.spec.idf) == (spec.pdf, spec.idf)
    assert "node-1" in loaded.secrets.texts and "node-1" not in repr(loaded) + repr(hidden)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("ENC[PKCS7,MIIB eQYJ!]", "it is not base64"),
        ("ENC[PKCS7,MIIBeQY]", "it is not base64"),
        ("ENC[PKCS7,MIIBeQYJ]", "it is cut short or damaged: not one whole PKCS#7 envelope"),
        ("ENC[PKCS7,]", "it is cut short or damaged: not one whole PKCS#7 envelope"),
        ("ENC[GPG,hQEMA0==]", "its method is GPG, and iecpod knows PKCS7 only"),
        (SOME_ENVELOPE, "it is damaged, or was encrypted for another key"),
    ],
)
def test_values_that_cannot_be_decrypted(pair: Pair, value: str, reason: str) -> None:
    found = [str(problem) for problem in decrypted(pair, {PASSWORD: value}).problems]
    assert found == [
        f"virtual.yaml:32:11: {PASSWORD}: error: the value cannot be decrypted: {reason} [encrypted]\n"
        "    -> encrypt the value again, with eyaml and the public key of this lab"
    ]


def test_the_key_of_another_lab(pair: Pair, stranger: Pair) -> None:
    """eyaml's certificates all look alike; with an unlucky key even the padding may look right."""
    for count in range(50):
        (problem,) = decrypted(stranger, {PASSWORD: pair.encrypt(f"s3cret {count}")}).problems
        assert problem.message == "the value cannot be decrypted: it is damaged, or was encrypted for another key"


def test_another_cipher(pair: Pair) -> None:
    aes_256, aes_192 = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a", b"\x60\x86\x48\x01\x65\x03\x04\x01\x16"
    (problem,) = decrypted(pair, {PASSWORD: wrap(pair.envelope("x").replace(aes_256, aes_192))}).problems
    assert problem.message == (
        "the value cannot be decrypted: its cipher is not the AES-CBC with RSA that hiera-eyaml uses"
    )


def test_binary_is_no_text(pair: Pair) -> None:
    (problem,) = decrypted(pair, {PASSWORD: pair.encrypt(b"\xff\xfe\x00")}).problems
    assert problem.message == "the value cannot be decrypted: it is damaged, or was encrypted for another key"


def test_damage_anywhere_is_a_problem_or_harmless(pair: Pair) -> None:
    envelope = pair.envelope("s3cret")
    for index in range(0, len(envelope), 3):
        for damaged in (envelope[:index], envelope[:index] + bytes([envelope[index] ^ 0xFF]) + envelope[index + 1 :]):
            checked = decrypted_password(pair, wrap(damaged))
            assert checked in ("s3cret", None), index


def decrypted_password(pair: Pair, value: str) -> object:
    checked = decrypt_and_check(break_pod({PASSWORD: value}), SCHEMAS_DIR, pair.decrypt)
    return None if checked.problems else value_at(checked.descriptors.pdf, PASSWORD)


def test_decrypted_text_is_checked_and_not_shown(pair: Pair) -> None:
    checked = decrypted(
        pair,
        {
            MEMORY: pair.encrypt("6gigs"),
            "nodes[2].name": pair.encrypt("node-1"),
            "nodes[0].node.arch": pair.encrypt("sparc"),
        },
        {"idf.net_config.public.gateway": pair.encrypt("10.0.19.255"), "idf.net_config.private.network": "banana"},
    )
    again = "decrypt the file with eyaml to see the value, correct it, and encrypt it again"
    fits = "a value that was decrypted does not fit here"
    found = [(problem.path, problem.message, problem.remedy) for problem in checked.problems]
    assert found[:5] == [
        ("idf.net_config.private.network", "'banana' is not an IPv4 address", found[0][2]),
        ("idf.net_config.public.gateway", f"{fits}: a network's first and last address are reserved", again),
        ("nodes[0].node.arch", fits, again),
        (MEMORY, fits, again),
        ("nodes[2].name", f"{fits}: nodes are identified by their names", again),
    ]
    assert not any(secret in str(problem) for problem in checked.problems for secret in ("6gigs", "sparc", "19.255"))


def test_a_number_cannot_be_encrypted(pair: Pair) -> None:
    (problem,) = decrypted(pair, {"nodes[1].node.cpus": pair.encrypt("2")}).problems
    assert (problem.path, problem.rule) == ("nodes[1].node.cpus", "schema-type")
    assert problem.message == "a value that was decrypted does not fit here"


PEM = (PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("case", ["missing", "no key", "swapped", "strangers", "elliptic"])
def test_files_that_are_no_pair(pair: Pair, stranger: Pair, tmp_path: Path, case: str) -> None:
    elliptic = tmp_path / "elliptic.pem"
    elliptic.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, *PEM))
    nowhere, text = tmp_path / "nowhere.pem", DATA_DIR / "virtual.yaml"
    private_key, public_key, cause = {
        "missing": (nowhere, pair.public_file, f"{nowhere} cannot be read: No such file or directory"),
        "no key": (text, pair.public_file, f"{text} holds no private key in PEM without a passphrase"),
        "swapped": (
            pair.private_file,
            pair.private_file,
            f"{pair.private_file} holds no certificate in PEM, which eyaml's public key is",
        ),
        "strangers": (
            pair.private_file,
            stranger.public_file,
            f"{pair.private_file} and {stranger.public_file} do not belong together",
        ),
        "elliptic": (elliptic, pair.public_file, f"{elliptic} is not an RSA key"),
    }[case]
    with pytest.raises(UsageError) as caught:
        load_eyaml_keys(private_key, public_key)
    assert caught.value.cause == cause
    assert caught.value.remedy == (
        "give the pair that `eyaml createkeys` made: private_key.pkcs7.pem and public_key.pkcs7.pem"
    )


def test_secrets_are_hidden_as_words() -> None:
    secrets = Secrets(frozenset(("node-1", "52-54-00-AB-01-02", "4", "")))
    assert (
        secrets.hide("node-1 node-12 has 52:54:00:ab:01:02, 4 of 42") == "(secret) node-12 has (secret), (secret) of 42"
    )
    assert Secrets().hide("node-1") == "node-1"
    assert "node-1" not in repr(secrets)


def test_secrets_are_kept_from_errors() -> None:
    secrets = Secrets(frozenset(("s3cret",)))
    with pytest.raises(HostError) as caught, secrets.kept_from_errors():
        raise HostError("no s3cret there", "look for s3cret")
    assert (str(caught.value), caught.value.cause, caught.value.remedy) == (
        "no (secret) there",
        "no (secret) there",
        "look for (secret)",
    )
    with pytest.raises(PreflightError) as refused, secrets.kept_from_errors():
        raise PreflightError([Problem(message="s3cret", remedy="not s3cret")], "x")
    assert [str(problem) for problem in refused.value.problems] == ["error: (secret)\n    -> not (secret)"]
