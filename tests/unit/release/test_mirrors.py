"""Mirrors, proxies and certificates: from options and the IDF to files on the nodes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import click
import pytest

from iecpod.cli.options.mirrors import make_supply
from iecpod.cli.options.pod_request import make_request
from iecpod.cni.registry import CNIS
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.design.cluster import Cni, DesiredCluster
from iecpod.design.direct_access import complete_supply
from iecpod.design.docker_bridge import DEFAULT_DOCKER_BRIDGE
from iecpod.design.software.availability import check_release
from iecpod.errors import UsageError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.model import Arch, PodRef
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ports import BundleFiles, CommandResult
from iecpod.release.file import load_release
from iecpod.release.mirrors import Supply, apply_supply
from iecpod.render.mirror_files import render_apt_conf
from iecpod.render.node_files import render_node_files
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.probes import IN_PLACE, MISSING
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, run, write_pod
from tests.unit.conftest import make_release

ROOT = Path(__file__).parents[3]
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PROXY = Supply(http_proxy="http://proxy:3128", https_proxy="http://proxy:3128", no_proxy=("localhost", ".svc"))


def options(**given: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("apt_mirror", "image_url", "http_proxy", "https_proxy"), "")
    many = dict.fromkeys(("repository", "repository_key", "manifest", "registry_mirror", "no_proxy", "ca_certs"), ())
    return {**nothing, **many, **given}


def supply_of(**given: Any) -> Supply:
    supply = make_supply(options(**given))
    assert supply is not None
    return supply


def release(name: str = "iec-r1") -> Any:
    return load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")


def test_without_the_options_nothing_is_supplied() -> None:
    assert make_supply({}) is None
    assert make_supply(options()) is None


def test_options_become_values(tmp_path: Path) -> None:
    pem, manifest = tmp_path / "ca.pem", tmp_path / "etcd.yaml"
    pem.write_text(f"# two\n{CERTIFICATE}\n{CERTIFICATE}")
    manifest.touch()
    supply = supply_of(
        repository=("kubernetes=http://mirror/k8s",),
        repository_key=("kubernetes=https://mirror/key",),
        manifest=(f"etcd={manifest}",),
        registry_mirror=("docker.io=https://hub.example", "localhost:5000=http://10.0.0.5:5000"),
        no_proxy=("a.example, 10.0.0.0/8", "b.example"),
        ca_certs=(pem,),
    )
    assert supply.repositories == {"kubernetes": "http://mirror/k8s"}
    assert supply.repository_keys == {"kubernetes": "https://mirror/key"}
    assert supply.manifests == {"etcd": str(manifest)}
    assert supply.registry_mirrors == {"docker.io": "https://hub.example", "localhost:5000": "http://10.0.0.5:5000"}
    assert supply.no_proxy == ("a.example", "10.0.0.0/8", "b.example")
    assert supply.ca_certificates == (CERTIFICATE, CERTIFICATE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_url": "ftp://x/y"}, "--image-url 'ftp://x/y' is not a URL"),
        ({"apt_mirror": "http://x/ y"}, "--apt-mirror 'http://x/ y' is not a URL"),
        ({"http_proxy": "proxy:3128"}, "--http-proxy 'proxy:3128' is not a URL"),
        ({"https_proxy": "http://me:secret@proxy"}, "--https-proxy must not hold a user or password"),
        ({"http_proxy": "socks://me:secret@proxy"}, "--http-proxy must not hold a user or password"),
        ({"image_url": "http://[x/y"}, "--image-url 'http://[x/y' is not a URL"),
        ({"registry_mirror": ("docker.io=http://x:port",)}, "--registry-mirror 'http://x:port' is not a URL"),
        ({"repository_key": ("kubernetes=ftp://x",)}, "--repository-key 'ftp://x' is not a URL"),
        ({"repository": ("kubernetes",)}, "--repository 'kubernetes' is not of the form NAME=VALUE"),
        ({"repository": ("a=http://x", "a=http://y")}, "--repository is given twice for 'a'"),
        ({"registry_mirror": ("https://docker.io=http://x",)}, "'https://docker.io' is not the host of a registry"),
        ({"manifest": ("etcd=/nowhere",)}, "--manifest: there is no file /nowhere"),
        ({"no_proxy": ('a"b',)}, "--no-proxy: 'a\"b' is neither host, domain nor network"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        make_supply(options(**given))
    assert message in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "text", ["", "x", CERTIFICATE + "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"]
)
def test_only_certificates_are_trusted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(text)
    with pytest.raises(click.UsageError, match="does not hold certificates"):
        supply_of(ca_certs=(path,))


def test_plan_takes_them(tmp_path: Path) -> None:
    result = run(tmp_path, "plan", "-l", "local", "-p", "virtual1", "--http-proxy", "http://u:p@proxy")
    assert result.exit_code == 2 and "must not hold a user or password" in result.stderr
    request = make_request(layout_below(tmp_path), {**_pod_options(), **options(image_url="http://x/y.img")})
    assert request.options.supply == Supply(image_url="http://x/y.img")


def _pod_options() -> dict[str, Any]:
    return {
        **{"lab": "local", "pod": "virtual1"},
        **dict.fromkeys(("base_uri", "scenario", "release", "connect")),
    }


def test_a_mirror_stands_in_for_a_repository_that_was_withdrawn(cluster: DesiredCluster) -> None:
    supply = Supply(
        repositories={"kubernetes": "http://mirror/k8s"},
        repository_keys={"kubernetes": "/srv/key.asc"},
        manifests={name: f"/srv/{name}.yaml" for name in ("etcd", "rbac", "calico")},
    )

    def rules(given: Supply, cni: Cni) -> list[str]:
        supplied = dataclasses.replace(cluster, release=apply_supply(release(), given), cni=cni)
        return [problem.rule for problem in check_release(supplied, given)]

    assert rules(Supply(), CNIS["calico"]) == ["repository-withdrawn", *["manifest-not-pinned"] * 3]
    assert rules(Supply(), CNIS["bridge"]) == ["repository-withdrawn"]
    assert rules(supply, CNIS["calico"]) == []
    kubernetes, docker = apply_supply(release(), supply).repositories
    assert (kubernetes.uri, kubernetes.key_url) == ("http://mirror/k8s", "/srv/key.asc")
    assert docker == release().repositories[1]


def test_a_mirror_is_signed_by_the_key_of_the_release_unless_another_is_given() -> None:
    mirrored = apply_supply(release(), Supply(repositories={"docker": "http://mirror/docker"})).repositories[1]
    assert mirrored.key_fingerprint == ("9DC858229FC7DD38854AE2D88D81803C0EBFCD88",)
    assert (mirrored.uri, mirrored.key_url) == ("http://mirror/docker", release().repositories[1].key_url)
    signed = apply_supply(release(), Supply(repository_keys={"docker": "https://mirror/key"})).repositories[1]
    assert (signed.key_url, signed.key_fingerprint) == ("https://mirror/key", ())


def test_a_repository_that_was_withdrawn_is_reported_with_the_way_out(cluster: DesiredCluster) -> None:
    problem = check_release(dataclasses.replace(cluster, release=release()), Supply())[0]
    assert problem.message == (
        "release iec-r1 installs from https://apt.kubernetes.io/, frozen in September 2023 and removed in March 2024"
    )
    assert "--repository kubernetes=URL" in problem.remedy


@pytest.mark.parametrize(
    ("mirrors", "rules"),
    [
        ({"docker.io": "https://hub.example"}, []),
        ({"docker.io": "https://hub.example/v2/hub"}, ["registry-mirror-path"]),
        ({"k8s.gcr.io": "https://hub.example"}, ["registry-mirror-unused"]),
    ],
)
def test_docker_asks_mirrors_of_its_own_registry_only(
    cluster: DesiredCluster, mirrors: dict[str, str], rules: list[str]
) -> None:
    def found(runtime: str) -> list[str]:
        supplied = dataclasses.replace(cluster, release=make_release("1.20.2", runtime))
        return [problem.rule for problem in check_release(supplied, Supply(registry_mirrors=mirrors))]

    assert found("docker") == rules
    assert found("containerd") == []


@pytest.mark.parametrize(
    ("supply", "cause", "remedy"),
    [
        (
            Supply(repositories={"kubernets": "http://x"}),
            "--repository: release iec-r1 has no repository named 'kubernets'",
            "it has docker, kubernetes",
        ),
        (
            Supply(manifests={"flannel": "/x"}),
            "--manifest: release iec-r1 has no manifest named 'flannel'",
            "it has calico, etcd, rbac",
        ),
    ],
)
def test_names_that_a_release_does_not_have_are_reported(supply: Supply, cause: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_supply(release(), supply)
    assert (caught.value.cause, caught.value.remedy) == (cause, remedy)


def test_an_image_from_elsewhere_is_checked_against_the_sums_beside_it() -> None:
    image = apply_supply(release("k8s-1.37"), Supply(image_url="https://lab.example/noble/image.img?x=1")).image
    assert image.location == dict.fromkeys(Arch, "https://lab.example/noble/image.img?x=1")
    assert image.sha256sums == dict.fromkeys(Arch, "https://lab.example/noble/SHA256SUMS")
    assert image.keyring == ""
    with pytest.raises(UsageError, match="type mmdebstrap"):
        apply_supply(release("debian12"), Supply(image_url="https://lab.example/image.img"))


def resolved(tmp_path: Path, **idf: Any) -> PodInputs:
    write_pod(tmp_path, "unit", "virtual", idf=idf)
    request = pod_request(ref=PodRef("unit", "virtual"), base_uri=str(tmp_path), release="debian12", uri=EMBEDDED)
    return resolve_request(request, layout_below(tmp_path), SavedPod())


def test_the_proxy_of_the_idf_is_used_unless_one_is_given(tmp_path: Path, cluster: DesiredCluster) -> None:
    spec = resolved(tmp_path).order.spec
    direct = dataclasses.replace(spec, idf=dataclasses.replace(spec.idf, upstream_proxy=""))
    assert complete_supply(Supply(), direct, cluster, "lab.local").has_proxy is False
    taken = complete_supply(Supply(), spec, cluster, "lab.local")
    assert (taken.http_proxy, taken.https_proxy) == ("http://proxy.example.org:3128", "http://proxy.example.org:3128")
    given = complete_supply(Supply(http_proxy="http://a:1", https_proxy="http://b:2"), spec, cluster, "lab.local")
    assert (given.http_proxy, given.https_proxy) == ("http://a:1", "http://b:2")


def test_what_belongs_to_the_pod_is_reached_directly(tmp_path: Path, cluster: DesiredCluster) -> None:
    spec = resolved(tmp_path).order.spec
    supply = complete_supply(Supply(no_proxy=("registry.example", "localhost")), spec, cluster, "lab.local")
    cidrs = [str(network.cidr) for network in spec.idf.networks if network.cidr]
    assert supply.no_proxy == (
        *("localhost", "127.0.0.1", "169.254.0.0/16", *cidrs, "100.100.0.0/16", "172.16.1.0/24"),
        *("172.16.10.36", "iec01", "172.16.10.37", "iec02", "172.16.10.38", "iec03"),
        *(".lab.local", ".svc", ".cluster.local", "registry.example"),
    )
    assert len(cidrs) >= 4


def _phase(shell: FakeShell, runtime: str, supply: Supply) -> RuntimePhase:
    def no_bundle(_hostname: str, _is_sent: bool) -> BundleFiles:
        raise AssertionError("the node has Kubernetes already")

    return RuntimePhase(
        make_release("1.20.2", runtime),
        supply,
        {"iec01": shell},
        lambda _repository: b"",
        no_bundle,
        fake_phase_tools(),
    )


def _shell_with(files: dict[str, bytes]) -> FakeShell:
    """A node that has Kubernetes and these files; it checks digests as sha256sum does."""

    def check(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        pairs = [line.split("  ", 1) for line in "".join(argv[4:5]).splitlines()]
        same = all(hashlib.sha256(files.get(path, b"")).hexdigest() == digest for digest, path in pairs)
        return CommandResult(0, IN_PLACE if same else MISSING, "")

    has_kubernetes = CommandResult(0, IN_PLACE, "")
    shell = FakeShell().on("systemctl")
    return shell.reply(("sh", "-c"), lambda argv, stdin: check(argv, stdin) if argv[4:] else has_kubernetes)


def _node_files(runtime: str) -> dict[str, bytes]:
    return {path: text.encode() for path, text in render_node_files(make_release("1.20.2", runtime)).items()}


@pytest.mark.parametrize("runtime", ["containerd", "docker"])
def test_the_runtime_is_led_to_mirrors_and_restarted_once(runtime: str) -> None:
    shell = _shell_with(_node_files(runtime))
    supply = dataclasses.replace(PROXY, registry_mirrors={"docker.io": "https://hub.example"})
    phase = _phase(shell, runtime, supply)
    assert phase.probe() is None
    phase.run()
    drop_in = shell.files[f"/etc/systemd/system/{runtime}.service.d/20-iecpod-proxy.conf"].decode()
    assert 'Environment="NO_PROXY=localhost,.svc"' in drop_in
    mirrored = {"containerd": "/etc/containerd/certs.d/docker.io/hosts.toml", "docker": "/etc/docker/daemon.json"}
    assert b"https://hub.example" in shell.files[mirrored[runtime]]
    restarts = [call for call in shell.calls if call[:2] == ("systemctl", "restart")]
    assert restarts == [("systemctl", "restart", runtime)]
    seen = _shell_with({**_node_files(runtime), **shell.files})
    assert _phase(seen, runtime, supply).probe() == f"{runtime}, Kubernetes 1.20.2"


def test_docker_s_bridge_is_put_elsewhere_and_one_that_has_the_default_is_left_alone() -> None:
    shell = _shell_with(_node_files("docker"))
    assert dataclasses.replace(_phase(shell, "docker", Supply()), docker_bridge=DEFAULT_DOCKER_BRIDGE).probe()
    phase = dataclasses.replace(_phase(shell, "docker", Supply()), docker_bridge=IPv4Interface("172.16.0.1/24"))
    assert phase.probe() is None
    phase.run()
    written = json.loads(shell.files["/etc/docker/daemon.json"])
    assert written == {"exec-opts": ["native.cgroupdriver=cgroupfs"], "bip": "172.16.0.1/24"}
    assert shell.called("systemctl", "restart", "docker")
    seen = _shell_with({**_node_files("docker"), **shell.files})
    assert dataclasses.replace(phase, shells={"iec01": seen}).probe() is not None


def test_a_runtime_without_mirrors_is_left_alone() -> None:
    shell = _shell_with(_node_files("containerd"))
    phase = _phase(shell, "containerd", Supply(no_proxy=("localhost",)))
    assert phase.probe() is not None
    phase.run()
    assert shell.files == {} and not shell.called("systemctl", "restart")


def test_apt_asks_no_proxy_for_hosts_of_the_lab() -> None:
    assert render_apt_conf(Supply(no_proxy=("localhost",))) == ""
    supply = Supply(http_proxy="http://proxy:3128", no_proxy=("10.0.0.0/8", ".svc", "mirror.example"))
    assert render_apt_conf(supply) == (
        'Acquire::http::Proxy "http://proxy:3128";\n'
        'Acquire::http::Proxy::mirror.example "DIRECT";\n'
        'Acquire::https::Proxy::mirror.example "DIRECT";\n'
    )
