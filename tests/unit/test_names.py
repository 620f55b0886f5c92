"""Names of labs and PODs are names: never paths, and nothing is read, started or removed for what is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.descriptors.lab_tree import find_pods
from iecpod.errors import ResourceConflict, UsageError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.naming import pool_name
from iecpod.pods.directory import (
    NOTE,
    find_noted_pods,
    make_pod_dir,
    pod_dir_of,
    read_kubeconfig,
    remove_pod_dir,
    save_pod,
)
from iecpod.providers.libvirt.connection.observed import parse_network
from iecpod.providers.libvirt.xml import resource_of
from tests import pods
from tests.pod_requests import saved_pod
from tests.unit.command_line import layout_below, run, write_pod
from tests.unit.hostile.outside_watch import watched

REF = PodRef("lab", "victim")

#: No file, option, environment or line of output may come of these.
NO_NAMES = (
    *("", ".", "..", "/", "a/b", "../lab", "lab/..", "./lab", "lab/", "/etc", "-x", "--help", ".hidden", "_x"),
    *(
        "a b",
        " a",
        "a ",
        "a\n",
        "a\nb",
        "a\0b",
        "a\tb",
        "a\x1b[0m",
        "é",
        "a" * 65,
        "$(id)",
        "`id`",
        "a;b",
        "a'b",
        "a%b",
    ),
    *("ENC[PKCS7,x]", "a,b", "*", "a\\b", "~", "~root", "\u202ea", "\uff11"),
)

#: Verbs of one POD, with what they take besides its name.
VERBS = (
    *(("plan",), ("status",), ("deploy",), ("redeploy",), ("teardown",), ("kubeconfig",), ("export", "env")),
    *(("logs", "logs.tar.gz"), ("ssh",), ("kubectl",), ("console",), ("validate",), ("deploy", "-EEE")),
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


@pytest.mark.parametrize("name", NO_NAMES)
def test_nothing_else_is_a_pod(name: str) -> None:
    for lab, pod in ((name, "pod"), ("lab", name)):
        with pytest.raises(UsageError) as caught:
            PodRef(lab, pod)
        assert caught.value.cause == f"{name!r} cannot be the name of a {'lab' if lab == name else 'POD'}"


@settings(deadline=None)  # machines are shared
@given(st.text(), st.text())
def test_any_two_texts_are_a_pod_or_an_error(lab: str, pod: str) -> None:
    """A place two components below, whatever the texts."""
    is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII).fullmatch
    try:
        ref = PodRef(lab, pod)
    except UsageError:
        assert not (is_name(lab) and is_name(pod) and len(lab) <= 64 and len(pod) <= 64)
        return
    below = Path(os.path.normpath(ref.below(Path("/state/pods"))))
    assert (below.parent.parent, below.parent.name, below.name) == (Path("/state/pods"), lab, pod)
    assert is_name(pool_name(ref))


@settings(deadline=None)  # machines are shared
@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True))
def test_names_of_real_labs_stay(name: str) -> None:
    assert str(PodRef(name, name)) == f"{name}/{name}"


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("name", ["", "..", ".", "{outside}", "../../outside", "a\nb", "-x", "$(touch pwned)"])
def test_no_verb_takes_anything_else(tmp_path: Path, verb: tuple[str, ...], name: str) -> None:
    """Exit code 2 with the option's name; nothing is started, and nothing outside is opened or removed."""
    outside = tmp_path / "outside"
    victim = outside / "victim"
    victim.mkdir(parents=True)
    for file in (victim / "kubeconfig", victim / NOTE, outside / "kubeconfig"):
        file.write_text("kept")
    own = tmp_path / "own"
    (own / "state" / "pods" / "lab" / "victim").mkdir(parents=True)
    name = name.format(outside=outside)
    for lab, pod, option in ((name, "victim", "'-l' / '--lab'"), ("lab", name, "'-p' / '--pod'")):
        with watched(own) as seen:
            result = run(own, verb[0], f"--lab={lab}", f"--pod={pod}", *verb[1:])
        assert result.exit_code == 2 and "kept" not in result.output
        assert option in result.output and "cannot be the name of a" in result.output
        assert seen == []
    assert sorted(path.name for path in outside.rglob("*")) == [NOTE, "kubeconfig", "kubeconfig", "victim"]
    assert (own / "state" / "pods" / "lab" / "victim").is_dir() and not (own / "pwned").exists()


def test_an_empty_storage_directory_is_not_the_working_directory(tmp_path: Path) -> None:
    result = run(tmp_path, "status", "-l", "lab", "-p", "pod", "-S", "")
    assert result.exit_code == 2 and "'-S' / '--storage-dir'" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_mark_that_names_no_pod_is_no_mark() -> None:
    """Somebody who may define networks may write what they like into one."""
    good = resource_of(pods.private_network(), pods.STAMP).xml
    assert (found := parse_network(good, True).mark) is not None and found.ref == pods.REF
    for name in ("", "..", "../..", "/etc"):
        assert parse_network(good.replace("pod='pod1'", f"pod='{name}'"), True).mark is None


def test_pods_are_proposed_of_labs_below_the_base_alone(tmp_path: Path) -> None:
    write_pod(tmp_path / "base", "lab", "pod")
    write_pod(tmp_path / "other", "secret", "pod")
    assert find_pods(tmp_path / "base", "lab") == ["pod"]
    for lab in ("..", "../../other/labs/secret", str(tmp_path / "other/labs/secret"), "", "nosuch"):
        assert find_pods(tmp_path / "base", lab) == []


def test_files_of_any_name_are_judged(tmp_path: Path) -> None:
    """They need be no POD's to be looked at."""
    write_pod(tmp_path, "my lab", "my pod")
    result = run(tmp_path, "validate", "labs/my lab/my pod.yaml")
    assert result.exit_code == 0, result.output
    assert run(tmp_path, "validate", "--all", "-b", ".").exit_code == 3
    listed = run(tmp_path, "labs", "-b", ".", "-o", "json").stdout
    assert '"lab": "my lab"' in listed and '"errors": 1' in listed


def test_what_a_deploy_makes_is_marked_and_can_be_removed(layout: Layout) -> None:
    make_pod_dir(layout, REF)
    pod_dir = pod_dir_of(layout, REF)
    assert pod_dir == layout.state_dir / "pods" / "lab" / "victim" and pod_dir.stat().st_mode & 0o777 == 0o711
    (pod_dir / "anything").write_text("x")
    (pod_dir / "pool").mkdir()
    remove_pod_dir(layout, REF)
    assert list((layout.state_dir / "pods").iterdir()) == []
    remove_pod_dir(layout, REF)  # nothing is there


@pytest.mark.parametrize("left", [(), ("nvram", "console"), ("keys", "nvram"), ("libvirt",)])
def test_what_an_earlier_version_left_can_be_removed(layout: Layout, left: tuple[str, ...]) -> None:
    """It made no mark: the note, the POD's key, or nothing but what comes before these tells."""
    pod_dir = pod_dir_of(layout, REF)
    for name in left:
        (pod_dir / name).mkdir(parents=True)
    remove_pod_dir(layout, REF)
    assert not pod_dir.exists()
    for mark in (NOTE, "keys/id_ed25519"):
        (pod_dir / mark).parent.mkdir(parents=True)
        (pod_dir / mark).write_text("{}")
        (pod_dir / "pool").mkdir()
        remove_pod_dir(layout, REF)
        assert not pod_dir.exists()


def test_nothing_is_removed_that_iecpod_did_not_make(tmp_path: Path, layout: Layout) -> None:
    pod_dir = pod_dir_of(layout, REF)
    pod_dir.mkdir(parents=True)
    (pod_dir / "thesis.tex").write_text("x")
    for verb in (("teardown",), ("deploy", "-EEE"), ("deploy",), ("plan",), ("status",)):
        result = run(tmp_path, *verb, "-l", "lab", "-p", "victim", "-c", "embedded", "-b", str(_base(tmp_path)))
        assert isinstance(result.exception, ResourceConflict), result.output
        assert result.exception.exit_code == 4 and "did not make" in result.exception.cause
    assert [path.name for path in pod_dir.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_links_are_not_followed(tmp_path: Path, layout: Layout, depth: int) -> None:
    """Whichever component of the POD's place is one."""
    elsewhere = tmp_path / "elsewhere"
    outside = layout_below(tmp_path / "second")
    make_pod_dir(outside, REF)
    save_pod(pod_dir_of(outside, REF), saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    (pod_dir_of(outside, REF) / "kubeconfig").write_text("secret")
    (outside.state_dir / "pods").rename(elsewhere)
    place = (layout.state_dir / "pods", layout.state_dir / "pods/lab", pod_dir_of(layout, REF))[depth]
    place.parent.mkdir(parents=True)
    place.symlink_to((elsewhere, elsewhere / "lab", elsewhere / "lab/victim")[depth])
    for act in (remove_pod_dir, make_pod_dir, read_kubeconfig):
        with pytest.raises(ResourceConflict, match="symbolic link"):
            act(layout, REF)
    for verb in ("teardown", "kubeconfig", "plan"):
        result = run(tmp_path, verb, "-l", "lab", "-p", "victim", "-b", str(_base(tmp_path)))
        assert isinstance(result.exception, ResourceConflict) and "secret" not in result.output
    kept = run(tmp_path, "gc", "--older-than", "0s", "--all", "-c", "embedded")
    assert "symbolic link" in kept.stdout and "removed" not in kept.stdout
    assert (elsewhere / "lab/victim/kubeconfig").read_text() == "secret"


def test_a_kubeconfig_that_leads_elsewhere_is_not_printed(layout: Layout, tmp_path: Path) -> None:
    make_pod_dir(layout, REF)
    (tmp_path / "secret").write_text("secret")
    (pod_dir_of(layout, REF) / "kubeconfig").symlink_to(tmp_path / "secret")
    with pytest.raises(ResourceConflict, match="symbolic link"):
        read_kubeconfig(layout, REF)


def test_directories_of_other_names_are_no_pods(layout: Layout) -> None:
    make_pod_dir(layout, REF)
    for name in ("my lab/pod", "lab/.hidden", "lab/a b"):
        (layout.state_dir / "pods" / name).mkdir(parents=True)
    (layout.state_dir / "pods/lab/file").touch()
    assert find_noted_pods(layout) == [REF]


def _base(directory: Path) -> Path:
    write_pod(directory / "base", "lab", "victim")
    return directory / "base"


def test_the_watch_sees(tmp_path: Path) -> None:
    """What the others rely on."""
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / "secret").touch()
    with watched(own) as seen:
        (own / "file").write_text("x")
        subprocess.run(["true"], check=True)
        (tmp_path / "secret").read_text()
        shutil.rmtree(own)
        (tmp_path / "secret").unlink()
    assert [entry.split()[0] for entry in seen] == ["subprocess.Popen", "open", "os.remove"]
