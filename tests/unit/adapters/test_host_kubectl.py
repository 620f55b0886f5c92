"""kubectl on this host: when it is used, how it ends, and what is kept of what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iecpod.adapters.host_kubectl import LocalKubectl, host_kubectl_argv, link_kubectl
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.errors import CommandFailed, WaitTimeout
from tests.fakes import FakeShell


def _program(directory: Path, script: str) -> LocalKubectl:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text("")
    return LocalKubectl((sys.executable, "-c", script), kubeconfig)


def _run(program: LocalKubectl, *arguments: str, stdin: bytes = b"", seconds: float = 60.0) -> str:
    return program.run(arguments, stdin=stdin, timeout_seconds=seconds).stdout


def test_it_gets_arguments_and_standard_input(tmp_path: Path) -> None:
    program = _program(tmp_path, "import sys; print(sys.argv[1:], sys.stdin.read())")
    assert _run(program, "apply", "-f", "-", stdin=b"kind: Node") == "['apply', '-f', '-'] kind: Node\n"


def test_nothing_of_the_caller_s_environment_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somewhere/else")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:1")
    found = _run(_program(tmp_path, "import os; print(sorted(os.environ))"))
    assert "KUBECONFIG" not in found and "HTTPS_PROXY" not in found


def test_a_failure_carries_what_it_said(tmp_path: Path) -> None:
    program = _program(tmp_path, "import sys; sys.exit('Error from server (NotFound): no such thing')")
    with pytest.raises(CommandFailed, match="NotFound"):
        _run(program, "get")


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(WaitTimeout, match="kubectl get: not within"):
        _run(_program(tmp_path, "import time; time.sleep(60)"), "get", seconds=0.5)


def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    program = _program(tmp_path, "import os\nwhile True: os.write(1, bytes(1 << 20))")
    with pytest.raises(CommandFailed):
        _run(program, "get")


def test_the_node_s_kubectl_is_used_until_the_kubeconfig_is_there(tmp_path: Path) -> None:
    program = _program(tmp_path, "print('{}')")
    shell = FakeShell().on("kubectl", stdout="[]")
    kubectl = Kubectl(shell, program)
    assert kubectl.load("/api").value == {} and shell.calls == []
    program.kubeconfig.unlink()
    assert kubectl.load("/api").value == [] and len(shell.calls) == 1


def test_each_pod_has_a_link_and_a_cache_of_its_own(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    link = link_kubectl(first, tmp_path)
    assert link_kubectl(first, tmp_path) == link and link.readlink() == first
    assert link_kubectl(second, tmp_path).readlink() == second
    argv = host_kubectl_argv(("nsenter",), link, tmp_path / "kubeconfig")
    assert argv[0] == "nsenter" and f"--cache-dir={tmp_path}/kubectl-cache" in argv
