"""What is rendered for the kubelet, read by the kubelet of the release: its configuration and its flags.

kubeadm writes the files of a node as in a deploy, and the kubelet starts with them. It gets no kubeconfig, so it ends
once flags and configuration are read, and before it touches container runtime or node.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iecpod.render.low_overhead import kubelet_flags, kubelet_periods
from iecpod.yaml.document import load_yaml
from tests.compiled import find_go_program

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/unit/golden/releases"
NODES = ("k8s-1.37/ubuntu2404-x86_64", "k8s-1.37-go/debian13-x86_64")

#: The kubelet ends with it where there was nothing to say against flags and configuration.
READ = 'err="failed to run Kubelet: unable to load bootstrap kubeconfig'

#: Arguments: kubeadm, kubelet, kubeadm's configuration, lines to add to the kubelet's configuration, and flags of the
#: kubelet besides those that kubeadm writes. /etc and /var/lib are file systems of its own. The host of this test may
#: have cgroups v1, with which the kubelet refuses to run: a file beside the configuration permits it.
_START = """
mount -t tmpfs tmpfs /etc
mount -t tmpfs tmpfs /var/lib
kubeadm=$1 kubelet=$2 config=$3 lines=$4
shift 4
mkdir -p /etc/kubernetes/iecpod-patches /var/lib/kubelet /var/lib/permitted
PATH=/nowhere "$kubeadm" init phase kubelet-start --config "$config"
printf '%s' "$lines" >> /var/lib/kubelet/config.yaml
cat > /var/lib/permitted/10-cgroups.conf <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
END
. /var/lib/kubelet/kubeadm-flags.env
exec "$kubelet" --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
    --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml --config-dir=/var/lib/permitted \
    $KUBELET_KUBEADM_ARGS "$@"
"""

#: (kubeadm's configuration, lines to add, flags): what kubeadm and the kubelet print until it ends.
Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    compiled = find_go_program("kubernetes")
    if compiled is None:
        pytest.skip("Kubernetes 1.37 has not been compiled on this machine")
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    programs = [tmp_path / "kubeadm", tmp_path / "kubelet"]
    for program in programs:
        program.symlink_to(compiled)

    def run(config: Path, lines: str = "", *flags: str) -> str:
        apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        argv = [*apart, "sh", "-euc", _START, "start", *map(str, programs), str(config), lines, *flags]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode != 0, "without a kubeconfig it does not stay"
        return (done.stdout + done.stderr).replace('\\"', '"')  # quotes within its quoted error

    return run


def _check_read(printed: str) -> None:
    assert READ in printed, printed
    assert "strict decoding" not in printed and "unknown field" not in printed, printed


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("file", ["init.yaml", "init-low-overhead.yaml"])
def test_configuration_and_flags_of_the_first_node_are_read(start: Start, node: str, file: str) -> None:
    printed = start(GOLDEN / node / file)
    _check_read(printed)
    periods = kubelet_periods("1.37.2") if "low-overhead" in file else {"nodeStatusUpdateFrequency": "10s"}
    effective = [line.strip() for line in printed.splitlines()]
    for key, value in {"cgroupDriver": "systemd", **periods}.items():
        assert f"{key}: {value}" in effective


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("file", ["join.yaml", "join-low-overhead.yaml"])
def test_flags_of_a_worker_are_read(start: Start, node: str, file: str) -> None:
    """A worker gets the first node's configuration from the API server."""
    config = load_yaml((GOLDEN / node / file).read_bytes(), file).data
    assert isinstance(config, dict)
    flags = _flags_of(config)
    assert {"node-ip", "address"} <= set(flags)
    assert ("low-overhead" in file) == (kubelet_flags("1.37.2").items() <= flags.items())
    init = GOLDEN / node / file.replace("join", "init")
    _check_read(start(init, "", *(f"--{name}={value}" for name, value in flags.items())))


def _flags_of(config: dict[str, Any]) -> dict[str, str]:
    return {flag["name"]: flag["value"] for flag in config["nodeRegistration"]["kubeletExtraArgs"]}


@pytest.mark.parametrize(
    ("lines", "flags", "refusal"),
    [
        ("", ("--housekeeping-intervals=60s",), "unknown flag: --housekeeping-intervals"),
        ("", ("--housekeeping-interval=soon",), 'invalid argument "soon" for "--housekeeping-interval" flag'),
        ("nodeStatusUpdatePeriod: 1m0s\n", (), 'strict decoding error: unknown field "nodeStatusUpdatePeriod"'),
        ("enforceNodeAllocatable: [everything]\n", (), "failed to validate kubelet configuration"),
    ],
    ids=["unknown flag", "value of a flag", "unknown field", "value of a field"],
)
def test_what_the_kubelet_does_not_know_would_show(
    start: Start, lines: str, flags: tuple[str, ...], refusal: str
) -> None:
    printed = start(GOLDEN / NODES[1] / "init-low-overhead.yaml", lines, *flags)
    assert refusal in printed
    with pytest.raises(AssertionError):
        _check_read(printed)


def test_a_field_that_kubeadm_does_not_know_would_show(start: Start, tmp_path: Path) -> None:
    """kubeadm reads the configuration first, and leaves out of its copy what it does not know."""
    text = (GOLDEN / NODES[1] / "init-low-overhead.yaml").read_text()
    (tmp_path / "init.yaml").write_text(text.replace("nodeStatusUpdateFrequency", "nodeStatusUpdatePeriod"))
    with pytest.raises(AssertionError):
        _check_read(start(tmp_path / "init.yaml"))
