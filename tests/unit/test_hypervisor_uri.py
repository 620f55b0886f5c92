"""A URI that libvirt would read as more than the name of a hypervisor reaches it from nowhere."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import libvirt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.errors import HostError
from iecpod.hypervisor_uri import EMBEDDED, SYSTEM, HypervisorUri, parse_connect, parse_described
from iecpod.model import PodRef
from iecpod.pods.directory import NOTE, load_saved, make_pod_dir, pod_dir_of, save_pod
from tests import pods
from tests.pod_requests import saved_pod
from tests.unit.command_line import layout_below, run, write_pod
from tests.unit.hostile.outside_watch import watched

REF = PodRef("lab", "pod")

OPENED = ("embedded", "qemu:///system", "qemu:///session", "qemu+unix:///system", "test:///default")
DESCRIBED = ("qemu:///system", "qemu:///session")

#: `{script}` is a program, `{secret}` a file that only root may read.
HOSTILE = (
    "qemu+ext:///system?command={script}",
    "qemu+ext://host/system?command={script}",
    "qemu+ssh://root@host/system?command={script}",
    "qemu+ssh://root@host/system?netcat={script}",
    "qemu+ssh://-oProxyCommand={script}@host/system",
    "qemu+ssh://-oProxyCommand={script}/system",
    "qemu+libssh2://host/system?known_hosts={secret}",
    "qemu+tls://host/system?pkipath={secret}",
    "qemu+unix:///system?socket={secret}",
    "qemu:///system?socket={secret}",
    "qemu:///system?mode=legacy",
    "qemu:///system#x",
    "qemu:///system/",
    "qemu:///system?",
    "qemu:///embed?root={secret}",
    "qemu://host/system",
    "qemu://{script}@/system",
    "QEMU:///system",
    " qemu:///system",
    "qemu:///system\n",
    "qemu:///system\nqemu+ext:///system?command={script}",
    "qemu:///sys\0tem",
    "qemu:/system",
    "qemu:////system",
    "test://{secret}",
    "test:////{secret}",
    "test+ext:///default?command={script}",
    "remote+ext:///system?command={script}",
    "ssh+qemu:///system",
    "xen:///system",
    "lxc:///",
    "vbox:///session",
    "esx://host/?no_verify=1",
    "file://{secret}",
    "{secret}",
    "{script}",
    "$(touch pwned)",
    "`touch pwned`",
    "",
)

REMOTE = ("qemu+ssh://root@host/system", "qemu+ssh://ci-user@lab7.example.org:2222/system")

#: Each needs the hypervisor of the POD.
VERBS = (
    *(("plan",), ("status",), ("deploy",), ("redeploy",), ("teardown",), ("export", "env"), ("ssh",), ("kubectl",)),
    *(("console",), ("logs", "logs.tar.gz")),
)


class Trap:
    """Files that a hostile value names: a program that leaves a trace, and a secret."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory.mkdir()
        self.trace = directory / "ran"
        self.script, self.secret = directory / "script", directory / "secret"
        self.script.write_text(f"#!/bin/sh\ntouch {self.trace}\n")
        self.script.chmod(0o755)
        self.secret.write_text("<root:$y$j9T$topsecret>\n")
        self.opened: list[str] = []
        for name in ("open", "openReadOnly", "openAuth"):
            monkeypatch.setattr(libvirt, name, self.opened.append)

    def uri(self, template: str) -> str:
        return template.replace("{script}", str(self.script)).replace("{secret}", str(self.secret))

    def check(self, output: str) -> None:
        """That libvirt was not asked, no program ran, and no secret was shown."""
        assert self.opened == [] and not self.trace.exists()
        assert "topsecret" not in output and "Traceback" not in output


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    return Trap(tmp_path / "trap", monkeypatch)


@pytest.mark.parametrize("text", OPENED)
def test_what_is_opened(text: str) -> None:
    uri = parse_connect(text)
    assert uri == text and uri.is_on_this_host
    if text in DESCRIBED:
        assert parse_described(text) == uri
    else:
        with pytest.raises(ValueError, match="a descriptor may name: qemu:///system or qemu:///session"):
            parse_described(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_else_is_a_hypervisor(text: str) -> None:
    for parse in (HypervisorUri, parse_connect, parse_described):
        with pytest.raises(ValueError, match="is not a hypervisor"):
            parse(text)


@pytest.mark.parametrize("text", REMOTE)
def test_another_machine_is_not_supported(text: str) -> None:
    assert not HypervisorUri(text).is_on_this_host
    for parse in (parse_connect, parse_described):
        with pytest.raises(
            ValueError, match=re.escape(f"{text!r}: a hypervisor on another machine is not supported yet")
        ):
            parse(text)


@settings(deadline=None)  # machines are shared
@given(
    st.text()
    | st.from_regex(
        r"(qemu|test)(\+[a-z]{2,4})?://[a-z@:.-]{0,9}/(system|session|default)(\?[a-z]{1,7}=/x)?", fullmatch=True
    )
    | st.builds("".join, st.tuples(st.text(max_size=2), st.sampled_from(OPENED + REMOTE), st.text(max_size=2)))
)
def test_any_text_is_a_known_hypervisor_or_an_error(text: str) -> None:
    """What is none of the known, and no user, host and port with `/system` behind them, is refused."""
    try:
        uri = HypervisorUri(text)
    except ValueError:
        assert text not in OPENED + REMOTE
        return
    assert text in OPENED or re.fullmatch(r"qemu\+ssh://[a-z0-9_-]+@[A-Za-z0-9.-]+(:[0-9]+)?/system", text, re.ASCII)
    assert not text.startswith("qemu+ssh://-") and "@-" not in text
    assert copy.deepcopy(uri) == uri and json.loads(json.dumps(uri)) == text


@pytest.mark.parametrize("described_as", ["libvirt", "ipmi"])
@pytest.mark.parametrize("uri", [*HOSTILE[:-1], *REMOTE])
def test_a_descriptor_names_no_other(tmp_path: Path, trap: Trap, uri: str, described_as: str) -> None:
    """Also where it says that its address is a BMC's: what is no hypervisor is not asked as one."""
    text = trap.uri(uri)
    own = tmp_path / "own"
    write_pod(own, "lab", "pod", pdf=_addresses(text, described_as))
    is_uri = described_as == "libvirt" or ":/" in text
    for verb, *rest in (("validate",), *(VERBS if described_as == "libvirt" and uri in HOSTILE[:3] else (("plan",),))):
        with watched(own) as seen:
            result = run(own, verb, "-l", "lab", "-p", "pod", "-b", ".", *rest)
        trap.check(result.output)
        assert seen == []
        if verb == "logs":
            continue
        code = result.exit_code if verb == "validate" else getattr(result.exception, "exit_code", None)
        assert code == 3
        if verb == "validate" and is_uri:
            assert re.search(r"labs/lab/pod.yaml:\d+:\d+: nodes\[0\].remote_management.address: error: ", result.stdout)


@pytest.mark.parametrize("uri", HOSTILE + REMOTE)
def test_the_command_line_takes_no_other(tmp_path: Path, trap: Trap, uri: str) -> None:
    if "\0" in uri:
        return  # no argument of a program holds it
    own = tmp_path / "own"
    write_pod(own, "lab", "pod")
    pod = ("-l", "lab", "-p", "pod", "-b", ".")
    verbs = (*((verb, *pod, *rest) for verb, *rest in VERBS), ("gc", "--older-than", "1000w", "--dry-run"))
    for arguments in verbs if uri in HOSTILE[:3] else verbs[-1:]:
        with watched(own) as seen:
            result = run(own, arguments[0], f"--connect={trap.uri(uri)}", *arguments[1:])
        trap.check(result.output)
        assert result.exit_code == 2 and "'-c' / '--connect'" in result.output
        assert seen == []


@pytest.mark.parametrize("uri", [*HOSTILE, *REMOTE, 5, ["qemu:///system"], {"text": "qemu:///system"}])
def test_the_note_of_a_pod_names_no_other(tmp_path: Path, trap: Trap, uri: object) -> None:
    own = tmp_path / "own"
    own.mkdir()
    layout = layout_below(own)
    make_pod_dir(layout, REF)
    note = {"uri": trap.uri(uri) if isinstance(uri, str) else uri}
    (pod_dir_of(layout, REF) / NOTE).write_text(json.dumps(note))
    with pytest.raises(HostError, match="does not say what the POD was deployed with"):
        load_saved(pod_dir_of(layout, REF))
    with watched(own) as seen:
        result = run(own, "teardown", "-l", "lab", "-p", "pod")
    trap.check(result.output)
    assert isinstance(result.exception, HostError) and seen == []
    assert (pod_dir_of(layout, REF) / NOTE).exists()


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    for uri in (EMBEDDED, SYSTEM, None):
        save_pod(tmp_path, saved_pod(uri=uri), pods.INSTALLATION)
        found = load_saved(tmp_path).options.uri
        assert found == uri and isinstance(found, (HypervisorUri, type(None)))


@pytest.mark.parametrize("digest", ["", "..", "../../etc", "/etc", "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_a_note_names_bundles_by_digests_alone(tmp_path: Path, digest: str) -> None:
    """Such a name is joined to the path of the cache."""
    (tmp_path / NOTE).write_text(json.dumps({"bundle": digest}))
    with pytest.raises(HostError):
        load_saved(tmp_path)


def _addresses(uri: str, described_as: str) -> dict[str, object]:
    """Of all nodes, which is what a POD needs to be deployed by its descriptor alone."""
    edits: dict[str, object] = {f"nodes[{index}].remote_management.address": uri for index in range(3)}
    if described_as == "ipmi":
        for index in range(3):
            edits[f"nodes[{index}].remote_management.type"] = "ipmi"
            edits[f"nodes[{index}].remote_management.versions"] = [2.0]
            edits[f"nodes[{index}].remote_management.mac_address"] = f"02:00:00:00:00:0{index + 1}"
    return edits
