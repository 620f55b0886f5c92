"""The cluster on the POD."""

from __future__ import annotations

import ipaddress
import json
import stat
import time

from tests.e2e.command import HOSTNAMES, Iecpod

NODE_IPS = {"iec01": "172.16.10.36", "iec02": "172.16.10.37", "iec03": "172.16.10.38"}


def test_three_nodes_are_ready_on_mgmt(pod: Iecpod) -> None:
    nodes = pod.get("nodes")["items"]
    assert {node["metadata"]["name"] for node in nodes} == set(HOSTNAMES)
    for node in nodes:
        conditions = {entry["type"]: entry["status"] for entry in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        addresses = {entry["type"]: entry["address"] for entry in node["status"]["addresses"]}
        assert addresses["InternalIP"] == NODE_IPS[node["metadata"]["name"]]
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.2"
        assert "taints" not in node["spec"]


def test_cidrs_are_as_planned(pod: Iecpod) -> None:
    pod_cidrs = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in pod.get("nodes")["items"]}
    assert pod_cidrs == {"iec01": "100.100.0.0/24", "iec02": "100.100.1.0/24", "iec03": "100.100.2.0/24"}
    service = pod.get("service/kubernetes")
    assert ipaddress.ip_address(service["spec"]["clusterIP"]) in ipaddress.ip_network("172.16.1.0/24")


def test_nginx_answered_and_was_removed(pod: Iecpod) -> None:
    report = json.loads((pod.root / "report.json").read_text())
    assert {phase["name"]: phase["outcome"] for phase in report["phases"]}["verify"] == "done"
    assert pod.get("--namespace=kube-system", "configmap/iecpod-verified")["data"]["nodes"] == " ".join(HOSTNAMES)
    assert pod.get("pods,replicationcontrollers", "--selector=app=iecpod-verify-nginx")["items"] == []


def test_no_bootstrap_token_outlives_its_use(pod: Iecpod) -> None:
    secrets = pod.get("secrets", "--namespace=kube-system")["items"]
    assert [item["metadata"]["name"] for item in secrets if item["type"] == "bootstrap.kubernetes.io/token"] == []
    for hostname in HOSTNAMES:
        found = pod.on_node(hostname, "sudo", "sh", "-c", "ls /etc/kubernetes/*.yaml 2>/dev/null || true")
        assert found == ""


def test_kubeconfig_is_exported_for_its_owner_only(pod: Iecpod) -> None:
    path = pod.pod_dir / "kubeconfig"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "server: https://172.16.10.36:6443" in pod.check("kubeconfig")
    assert pod.check("kubeconfig") == path.read_text()


def test_status_says_ready(pod: Iecpod) -> None:
    status = json.loads(pod.check("status", "--output", "json"))
    assert (status["state"], status["busy"], status["drift"]) == ("ready", None, [])
    cluster = status["cluster"]
    assert (cluster["version"], cluster["cni"], cluster["verified"]) == ("v1.37.2", "kube-router", True)
    assert 0 <= cluster["verified_seconds_ago"] <= cluster["age_seconds"]
    assert [(node["node"], node["domain"], node["internal_ip"]) for node in status["nodes"]] == [
        (hostname, "running", address) for hostname, address in NODE_IPS.items()
    ]


def test_what_others_change_is_drift_and_ends_with_it(pod: Iecpod) -> None:
    pod.virsh("autostart", "local-virtual1-iec03")
    try:
        shown = pod.run("status", "--output", "json", "--detailed-exitcode")
        assert shown.returncode == 6
        assert {found["name"]: found["differences"] for found in json.loads(shown.stdout)["drift"]} == {
            "local-virtual1-iec03": ["autostart on, not off"]
        }
        assert "in place (autostart on, not off)" in pod.check("plan", "--detailed-exitcode")
    finally:
        pod.virsh("autostart", "--disable", "local-virtual1-iec03")
    assert pod.run("status", "--detailed-exitcode").returncode == 0


def test_kubectl_passes_input_and_exit_status_through(pod: Iecpod) -> None:
    assert pod.run("kubectl", "get", "nodes", "no-such-node").returncode == 1


def test_a_second_deploy_changes_nothing(pod: Iecpod) -> None:
    boot_ids = [pod.on_node(hostname, "cat", "/proc/sys/kernel/random/boot_id") for hostname in HOSTNAMES]
    start = time.monotonic()
    pod.check("deploy")
    seconds = time.monotonic() - start
    report = pod.report()
    assert report["outcome"] == "in place"
    assert {phase["outcome"] for phase in report["phases"]} == {"in place"}
    assert seconds < 90, f"finding everything in place took {seconds:.0f} s"
    assert boot_ids == [pod.on_node(hostname, "cat", "/proc/sys/kernel/random/boot_id") for hostname in HOSTNAMES]
    assert pod.run("plan", "--detailed-exitcode").returncode == 0
