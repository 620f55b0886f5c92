"""kube-router as the release has it compiled, with the programs of its image, on nodes that are network namespaces.

The API server is that of the release, too, and asks RBAC. There is no kubelet: pods are namespaces that the CNI plugin
`bridge` connects by the file of the node, and objects that say where they are.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from iecpod.cni.bridge import CONFLIST_PATH
from iecpod.cni.kube_router import (
    CAPABILITIES,
    GUARD_UNIT,
    render_daemon_set,
    render_kube_router,
)
from iecpod.cni.registry import CNIS
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.network_health import find_missing_routes
from iecpod.deploy.kubectl.node_cidrs import assign_pod_cidrs
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.ports import CommandResult
from iecpod.release.file import load_release
from iecpod.release.scenario import Role
from iecpod.render.smoke_test import APP, render_denial, render_permission
from tests.compiled import find_go_program, find_layer
from tests.contract.net_namespaces import Namespace, joined
from tests.eventually import eventually
from tests.fakes import FakeShell

ROOT = Path(__file__).parents[3]
ACCOUNT = "run/secrets/kubernetes.io/serviceaccount"

#: Arguments: the image's tree, then kube-router's command. What a container without privileges has of the kernel.
_CONTAINER = f"""
tree=$1
shift
mount --bind /dev "$tree/dev"
mount --bind /proc "$tree/proc"
mount --bind /proc/sys "$tree/proc/sys"
mount -o remount,bind,ro "$tree/proc/sys"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,{",".join(f"+{name.lower()}" for name in CAPABILITIES)} \
    chroot "$tree" "$@"
"""
_API = (
    "--etcd-servers=http://127.0.0.1:2379",
    "--bind-address=0.0.0.0",
    "--allow-privileged=true",
    "--authorization-mode=RBAC",
    "--service-account-issuer=https://lab",
)


def _runs_in(namespace: Namespace) -> Callable[[Sequence[str], bytes], CommandResult]:
    return lambda argv, _stdin: CommandResult(0, namespace.run(*argv).stdout, "")


@dataclass
class Lab:
    """Nodes and pods by name; the first node has the API server."""

    directory: Path
    cluster: DesiredCluster
    nodes: dict[str, Namespace]
    pods: dict[str, Namespace] = field(default_factory=dict)

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        options = ["--server=https://127.0.0.1:6443", "--insecure-skip-tls-verify", "--token=token"]
        program = [str(self.directory / "kubectl"), *options, f"--cache-dir={self.directory}/kubectl-cache"]
        return self.nodes["iec01"].run(*program, *arguments, stdin=stdin, check=check)

    @property
    def shells(self) -> dict[str, FakeShell]:
        """With kubectl as phases call it, and commands of the node's network."""

        def kubectl(argv: object, stdin: bytes) -> CommandResult:
            assert isinstance(argv, tuple | list)
            done = self.kubectl(*argv[2:], stdin=stdin.decode(), check=False)
            return CommandResult(done.returncode, done.stdout, done.stderr)

        shells = {}
        for name, namespace in self.nodes.items():
            shell = shells[name] = FakeShell(name).reply(("kubectl",), kubectl)
            shell.reply(("ip",), _runs_in(namespace))
        return shells

    def apply(self, manifest: str) -> None:
        Kubectl(self.shells["iec01"]).apply(manifest)

    def node(self, name: str) -> ClusterNode:
        return next(node for node in self.cluster.nodes if node.hostname == name)

    def start_api(self) -> None:
        first, key = self.nodes["iec01"], self.directory / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self.directory / "tokens").write_text("token,admin,admin,system:masters\n")
        etcd, kubernetes = find_go_program("etcd"), find_go_program("kubernetes")
        assert etcd is not None and kubernetes is not None
        for name in ("kube-apiserver", "kubectl"):
            (self.directory / name).symlink_to(kubernetes)
        data = ("--unsafe-no-fsync", "--log-level=error", f"--data-dir={self.directory}/etcd")
        first.start(str(etcd), *data, log=self.directory / "etcd.log")
        first.start(
            str(self.directory / "kube-apiserver"),
            *_API,
            f"--advertise-address={self.cluster.control_plane.address}",
            f"--service-cluster-ip-range={self.cluster.service_cidr}",
            f"--cert-dir={self.directory}/certs",
            f"--token-auth-file={self.directory}/tokens",
            *(f"--service-account-{use}-file={key}" for use in ("key", "signing-key")),
            log=self.directory / "api.log",
        )
        assert eventually(lambda: self.kubectl("get", "--raw=/readyz", check=False).stdout == "ok", 120)

    def unpack_image(self) -> None:
        """The layer with Debian's programs, kube-router, and what its service account has in a pod."""
        layer, router = find_layer(), find_go_program("kube-router")
        assert layer is not None and router is not None
        tree = self.directory / "tree"
        tree.mkdir()
        subprocess.run(["tar", "--extract", f"--file={layer}", f"--directory={tree}"], check=True)
        (tree / "usr/local/bin").mkdir(parents=True, exist_ok=True)
        shutil.copy(router, tree / "usr/local/bin/kube-router")
        (tree / "usr/local/bin/kube-router").chmod(0o755)
        (tree / ACCOUNT).mkdir(parents=True)
        token = self.kubectl("create", "token", "kube-router", "--namespace=kube-system").stdout.strip()
        (tree / ACCOUNT / "token").write_text(token)
        shutil.copy(self.directory / "certs/apiserver.crt", tree / ACCOUNT / "ca.crt")

    def start_router(self, name: str) -> subprocess.Popen[bytes]:
        (container,) = render_daemon_set(self.cluster)["spec"]["template"]["spec"]["containers"]
        variables = {entry["name"]: entry.get("value", name) for entry in container["env"]}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        script = ["unshare", "--mount", "sh", "-euc", _CONTAINER, "container", str(self.directory / "tree")]
        command = [*container["command"], *container["args"]]
        log = self.directory / f"{name}.log"
        return self.nodes[name].start(*script, *command, log=log, environment={"PATH": path, **variables})

    def add_pod(self, name: str, node: str) -> str:
        """Returns its address."""
        bridge, namespace = find_go_program("bridge"), Namespace()
        assert bridge is not None
        self.pods[name] = namespace
        network = json.loads(self.cluster.cni.node_files(self.cluster, self.node(node))[CONFLIST_PATH])
        plugin = {**network["plugins"][0], "cniVersion": network["cniVersion"], "name": network["name"]}
        plugin["ipam"]["dataDir"] = str(self.directory / f"addresses-{node}")
        variables = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": name,
            "CNI_NETNS": f"/proc/{namespace.pid}/ns/net",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(bridge.parent),
        }
        words = [f"{key}={value}" for key, value in variables.items()]
        added = self.nodes[node].run("env", *words, str(bridge), stdin=json.dumps(plugin))
        address = str(json.loads(added.stdout)["ips"][0]["address"]).partition("/")[0]
        spec = {"nodeName": node, "automountServiceAccountToken": False, "containers": [{"name": "x", "image": "x"}]}
        metadata = {"name": name, "namespace": "default", "labels": {"app": APP}}
        self.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
        host = str(self.node(node).address)
        status = {"phase": "Running", "hostIP": host, "podIP": address, "podIPs": [{"ip": address}]}
        self.kubectl("patch", "pod", name, "--subresource=status", "--patch", json.dumps({"status": status}))
        return address


@pytest.fixture
def lab(cluster: DesiredCluster, tmp_path: Path) -> Iterator[Lab]:
    programs = [find_go_program(name) for name in ("kubernetes", "etcd", "kube-router", "bridge")]
    if os.geteuid() != 0 or find_layer() is None or not all(programs):
        pytest.skip("the programs of k8s-1.37-go have not been compiled on this machine")
    worker = dataclasses.replace(
        cluster.control_plane,
        hostname="iec02",
        role=Role.WORKER,
        address=IPv4Address("172.16.10.37"),
        pod_cidr=list(cluster.pod_cidr.subnets(new_prefix=24))[1],
    )
    release = load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas")
    nodes = (cluster.control_plane, worker)
    cluster = dataclasses.replace(cluster, release=release, cni=CNIS["kube-router"], nodes=nodes)
    with joined([str(node.address) for node in nodes]) as namespaces:
        lab = Lab(tmp_path, cluster, {node.hostname: end for node, end in zip(nodes, namespaces, strict=True)})
        try:
            yield lab
        finally:
            for pod in lab.pods.values():
                pod.end()


def test_it_routes_and_enforces_policies_and_its_bgp_api_is_closed(lab: Lab) -> None:
    lab.start_api()
    lab.apply(render_kube_router(lab.cluster).text)
    lab.kubectl("create", "serviceaccount", "default")
    lab.unpack_image()
    shells = lab.shells
    assign_pod_cidrs(Kubectl(shells["iec01"]), lab.cluster.nodes)
    lab.start_router("iec01")
    assert eventually(lambda: lab.nodes["iec01"].connects("172.16.10.36", 179), 60)
    assert "iec02" in find_missing_routes(lab.cluster, shells)["iec01"]
    router = lab.start_router("iec02")
    assert eventually(lambda: not find_missing_routes(lab.cluster, shells), 60), "a node that comes later is a peer"
    _check_pods(lab)
    _check_guard(lab)
    router.terminate()
    router.wait()
    assert not find_missing_routes(lab.cluster, shells), "routes stay while it restarts"


def _check_pods(lab: Lab) -> None:
    client, server, third = (lab.add_pod(name, node) for name, node in (("a", "iec01"), ("b", "iec02"), ("c", "iec02")))
    assert (client, server, third) == ("100.100.0.2", "100.100.1.2", "100.100.1.3")
    lab.pods["b"].start(sys.executable, "-m", "http.server", "80", log=lab.directory / "server.log")
    assert eventually(lambda: lab.pods["a"].connects(server, 80), 30)
    assert lab.pods["c"].connects(server, 80)
    lab.apply(render_denial())
    assert eventually(lambda: not lab.pods["a"].connects(server, 80), 30)
    assert not lab.pods["c"].connects(server, 80), "also on the same node"
    assert lab.nodes["iec02"].connects(server, 80), "the kubelet's probes come from the node"
    lab.apply(render_permission())
    assert eventually(lambda: lab.pods["a"].connects(server, 80), 30)


def _check_guard(lab: Lab) -> None:
    """Before, whatever reaches the node may change its routes (GHSA-v5mh-h5hx-7v92)."""
    strangers = (lab.pods["a"], lab.pods["c"], lab.nodes["iec01"])
    assert all(stranger.connects("172.16.10.37", 50051) for stranger in strangers)
    unit = lab.cluster.cni.node_files(lab.cluster, lab.node("iec02"))[f"/etc/systemd/system/{GUARD_UNIT}"]
    (start,) = (line for line in unit.splitlines() if line.startswith("ExecStartPre="))
    lab.nodes["iec02"].run("sh", "-euc", start.removeprefix("ExecStartPre=/bin/sh -c ").strip("'"))
    assert not any(stranger.connects("172.16.10.37", 50051) for stranger in strangers)
    assert lab.nodes["iec01"].connects("172.16.10.37", 179), "peers are heard"
