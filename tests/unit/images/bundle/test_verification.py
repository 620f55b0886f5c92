"""A bundle is the one that was meant, and made by one who may: by its digest, by a signature, or it is not used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import IecpodError, ImageError, PreflightError, UsageError
from iecpod.images.bundle.transfer import StoredBundle
from iecpod.images.bundle.verification import BundleTrust
from iecpod.model import PodRef
from iecpod.pods.choose_options import choose_options
from iecpod.pods.directory import load_saved, make_pod_dir, pod_dir_of, save_pod
from iecpod.release.bundle_manifest import bundle_dir
from tests import pods
from tests.fakes import RecordingReporter
from tests.pod_requests import pod_request, saved_pod
from tests.unit.command_line import layout_below, run
from tests.unit.images.bundle.test_hostile_bundles import FILES, make_archive, make_directory

POD = ("-l", "local", "-p", "virtual1")
WRONG = "0" * 64


def make_key(directory: Path, name: str, passphrase: str = "") -> Path:
    key = directory / name
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(key)]
    subprocess.run(argv, check=True)
    return key


def allow(directory: Path, *keys: Path, options: str = "") -> Path:
    signers = directory / "allowed_signers"
    lines = [f"{key.name}@lab.example {options} {key.with_suffix('.pub').read_text()}" for key in keys]
    signers.write_text("".join(lines))
    return signers


def digest_of(bundle: Path) -> str:
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def verify(directory: Path, *arguments: str) -> tuple[int, str, IecpodError | None]:
    done = run(directory, "bundle", "verify", *arguments)
    error = done.exception if isinstance(done.exception, IecpodError) else None
    return int(error.exit_code) if error else done.exit_code, done.stdout, error


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_directory(tmp_path / "b")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "b.tar")


def test_a_digest_that_differs_ends_before_anything_else_is_read(bundle: Path, archive: Path, tmp_path: Path) -> None:
    digest = digest_of(bundle)
    (bundle / "manifest.json").chmod(0o644)
    for name in ("b", "b.tar"):
        for given in (digest, f"sha256:{digest}", digest.upper()):
            assert verify(tmp_path, name, "--bundle-digest", given) == (0, "", None)
        status, output, error = verify(tmp_path, name, "--bundle-digest", WRONG)
        assert (status, output) == (1, "") and error is not None
        assert error.cause == (
            f"the bundle {name} is not what was asked for: the digest of its manifest is {digest}, not {WRONG}"
        )
        assert f"--bundle-digest {digest}" in error.remedy
    shutil.rmtree(bundle / "base")
    (bundle / "manifest.json").write_text("no JSON")
    _, _, error = verify(tmp_path, "b", "--bundle-digest", digest)
    assert isinstance(error, ImageError) and "the digest of its manifest is" in error.cause


@pytest.mark.parametrize("digest", ["", "sha256:", "0" * 63, "g" * 64, f"md5:{WRONG}"])
def test_what_is_no_digest_is_wrong_usage(bundle: Path, tmp_path: Path, digest: str) -> None:
    done = run(tmp_path, "bundle", "verify", "b", "--bundle-digest", digest)
    assert done.exit_code == 2 and "is not a SHA-256" in done.output


@pytest.mark.parametrize("verb", ["plan", "deploy", "redeploy"])
def test_a_run_refuses_another_bundle_and_takes_nothing_in(bundle: Path, tmp_path: Path, verb: str) -> None:
    error = run(tmp_path, verb, *POD, "--bundle", "b", "--bundle-digest", WRONG).exception
    assert isinstance(error, PreflightError) and error.exit_code == 4
    (problem,) = error.problems
    assert (problem.file, problem.rule) == ("b", "bundle-digest")
    assert problem.message == f"the digest of its manifest is {digest_of(bundle)}, not {WRONG}"
    assert not (tmp_path / "cache/bundles").exists()


def test_the_digest_is_kept_with_the_pod(bundle: Path, tmp_path: Path) -> None:
    """Another bundle is then refused, until its digest is given or the POD goes back to a release."""
    layout, ref = layout_below(tmp_path), PodRef("local", "virtual1")
    digest = StoredBundle(bundle).take_in(Cache(layout.cache_dir, RecordingReporter()))
    pod_dir = pod_dir_of(layout, ref)
    make_pod_dir(layout, ref)
    save_pod(pod_dir, saved_pod(release="k8s-1.37", bundle=digest, bundle_digest=digest), pods.INSTALLATION)
    assert load_saved(pod_dir).options.bundle_digest == digest
    other = make_directory(tmp_path / "other", {**FILES, "helm/helm": b"another"})
    error = run(tmp_path, "plan", *POD, "--bundle", "other").exception
    assert isinstance(error, PreflightError) and error.problems[0].rule == "bundle-digest"
    for arguments in (["--bundle-digest", digest_of(other), "-o", "other1"], ["--release", "debian12"]):
        error = run(tmp_path, "plan", *POD, "--bundle", "other", *arguments).exception
        assert isinstance(error, UsageError) and error.cause.startswith("the bundle is of release k8s-1.37")
        assert bundle_dir(layout.cache_dir, digest_of(other)).is_dir()
        shutil.rmtree(bundle_dir(layout.cache_dir, digest_of(other)))
    error = run(tmp_path, "plan", *POD, "--bundle-digest", WRONG).exception
    assert isinstance(error, PreflightError) and error.problems[0].rule == "bundle-digest"
    saved = load_saved(pod_dir).options
    chosen = choose_options(pod_request(ref=ref), layout, saved)
    assert (chosen.bundle, chosen.bundle_digest) == (digest, digest)
    assert (
        choose_options(pod_request(ref=ref, release="k8s-1.37"), layout, load_saved(pod_dir).options).bundle_digest
        is None
    )


def test_a_digest_without_a_bundle_is_wrong_usage(tmp_path: Path) -> None:
    error = run(tmp_path, "plan", *POD, "--release", "k8s-1.37-go", "--bundle-digest", WRONG).exception
    assert isinstance(error, UsageError) and error.cause.startswith("--bundle-digest is that of a bundle")


@pytest.mark.parametrize("form", ["b", "b.tar"])
def test_a_bundle_is_signed_and_verified(bundle: Path, archive: Path, tmp_path: Path, form: str) -> None:
    alice, _ = make_key(tmp_path, "alice"), make_key(tmp_path, "mallory")
    allow(tmp_path, alice)
    demanded = (form, "--bundle-signers", "allowed_signers")
    status, _, error = verify(tmp_path, *demanded)
    assert status == 1 and error is not None and error.cause.endswith("is not what was asked for: it is not signed")
    where = {"b": "b/manifest.json.sig", "b.tar": "b.tar.sig"}[form]
    assert run(tmp_path, "bundle", "sign", form, "--key", "mallory").stdout == f"{where}\n"
    status, _, error = verify(tmp_path, *demanded)
    assert status == 1 and error is not None and "is by no signer that allowed_signers lists" in error.cause
    assert run(tmp_path, "bundle", "sign", form, "--key", "alice").exit_code == 0
    assert verify(tmp_path, *demanded) == (0, "signed by alice@lab.example\n", None)
    assert verify(tmp_path, form) == (0, "", None)


def sign_with_keygen(key: Path, content: bytes, namespace: str = "iecpod-bundle") -> bytes:
    argv = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", namespace]
    return subprocess.run(argv, input=content, capture_output=True, check=True).stdout


def test_only_a_signature_of_this_bundle_for_this_use_is_good(bundle: Path, tmp_path: Path) -> None:
    alice = make_key(tmp_path, "alice")
    signers = allow(tmp_path, alice)
    manifest = (bundle / "manifest.json").read_bytes()
    good = sign_with_keygen(alice, manifest)
    for signature, is_good in {
        good: True,
        sign_with_keygen(alice, manifest, "git"): False,
        sign_with_keygen(alice, manifest + b" "): False,
        good[:-40] + good[-20:]: False,
        b"": False,
        b"\0" * 100_000: False,
    }.items():
        (bundle / "manifest.json.sig").write_bytes(signature)
        status, _, _ = verify(tmp_path, "b", "--bundle-signers", "allowed_signers")
        assert status == (0 if is_good else 1)
    (bundle / "manifest.json.sig").write_bytes(good)
    allow(tmp_path, alice, options='namespaces="git"')
    assert verify(tmp_path, "b", "--bundle-signers", str(signers))[0] == 1


def test_signers_that_cannot_be_read_are_wrong_usage(bundle: Path, tmp_path: Path) -> None:
    run(tmp_path, "bundle", "sign", "b", "--key", str(make_key(tmp_path, "alice")))
    status, _, error = verify(tmp_path, "b", "--bundle-signers", "nowhere")
    assert status == 2 and error is not None and error.cause == "the signers nowhere: No such file or directory"
    (tmp_path / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    status, _, error = verify(tmp_path, "b", "--bundle-signers", "large")
    assert status == 2 and error is not None and error.cause == "the signers large: It has more than 1048576 bytes"


def test_a_run_demands_a_signature_by_option_or_environment(bundle: Path, tmp_path: Path) -> None:
    alice = make_key(tmp_path, "alice")
    allow(tmp_path, alice)
    for arguments, env in (
        (("--bundle-signers", "allowed_signers"), {}),
        ((), {"IECPOD_BUNDLE_SIGNERS": "allowed_signers"}),
    ):
        error = run(tmp_path, "plan", *POD, "--bundle", "b", *arguments, env=env).exception
        assert isinstance(error, PreflightError)
        assert [(problem.rule, problem.message) for problem in error.problems] == [
            ("bundle-signature", "it is not signed")
        ]
    assert not (tmp_path / "cache/bundles").exists()


def test_a_signature_goes_into_the_cache_with_its_bundle(bundle: Path, archive: Path, tmp_path: Path) -> None:
    """So that a run that has no file any more can ask who signed it; one that was not checked replaces none."""
    alice, _ = make_key(tmp_path, "alice"), make_key(tmp_path, "mallory")
    trust = BundleTrust(signers=allow(tmp_path, alice))
    cache = Cache(tmp_path / "cache", RecordingReporter())
    taken = bundle_dir(cache.root, StoredBundle(bundle).take_in(cache))
    with pytest.raises(PreflightError):
        StoredBundle(taken, trust).manifest()
    run(tmp_path, "bundle", "sign", "b.tar", "--key", "alice")
    StoredBundle(archive).take_in(cache)
    assert StoredBundle(taken, trust).signer() == "alice@lab.example"
    run(tmp_path, "bundle", "sign", "b.tar", "--key", "mallory")
    StoredBundle(archive).take_in(cache)
    assert StoredBundle(taken, trust).signer() == "alice@lab.example"
    bob = make_key(tmp_path, "bob")
    run(tmp_path, "bundle", "sign", "b.tar", "--key", "bob")
    trust = BundleTrust(signers=allow(tmp_path, bob))
    StoredBundle(archive, trust).take_in(cache)
    assert StoredBundle(taken, trust).signer() == "bob@lab.example"


def test_a_signed_directory_may_be_packed_with_its_signature(bundle: Path, tmp_path: Path) -> None:
    run(tmp_path, "bundle", "sign", "b", "--key", str(make_key(tmp_path, "alice")))
    allow(tmp_path, tmp_path / "alice")
    subprocess.run(
        ["tar", "-cf", "p.tar", "-C", "b", "manifest.json", "manifest.json.sig", "base", "debs", "helm"],
        cwd=tmp_path,
        check=True,
    )
    assert verify(tmp_path, "p.tar", "--bundle-signers", "allowed_signers") == (
        0,
        "signed by alice@lab.example\n",
        None,
    )


def test_a_passphrase_is_never_waited_for_without_a_terminal(bundle: Path, tmp_path: Path) -> None:
    make_key(tmp_path, "locked", "secret")
    (tmp_path / "askpass").write_text("#!/bin/sh\necho secret\n")
    (tmp_path / "askpass").chmod(0o755)
    env = {"DISPLAY": ":0", "SSH_ASKPASS": str(tmp_path / "askpass")}
    error = run(tmp_path, "bundle", "sign", "b", "--key", "locked", env=env).exception
    assert isinstance(error, ImageError) and "incorrect passphrase" in error.cause
    assert not (bundle / "manifest.json.sig").exists()


def test_a_key_of_an_agent_signs(bundle: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "alice")
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as agent:
        try:
            env = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
            added = subprocess.run(
                ["sh", "-c", f"until test -S {socket}; do sleep 0.02; done; ssh-add -q {key}"], env=env, check=False
            )
            assert added.returncode == 0
            key.unlink()
            signed = run(tmp_path, "bundle", "sign", "b", "--key", "alice.pub", env={"SSH_AUTH_SOCK": str(socket)})
            assert signed.exit_code == 0, signed.exception
        finally:
            agent.terminate()
    allow(tmp_path, key)
    assert verify(tmp_path, "b", "--bundle-signers", "allowed_signers")[1] == "signed by alice@lab.example\n"


@pytest.mark.parametrize(("bundle_name", "key"), [("nowhere", "alice"), ("b", "nowhere"), ("text", "alice")])
def test_what_cannot_be_signed(bundle: Path, tmp_path: Path, bundle_name: str, key: str) -> None:
    make_key(tmp_path, "alice")
    (tmp_path / "text").write_text(json.dumps({}))
    assert isinstance(run(tmp_path, "bundle", "sign", bundle_name, "--key", key).exception, UsageError)
