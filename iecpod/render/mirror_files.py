"""Files that lead a node to a lab's mirrors and proxies.

Sources: systemd.exec (Environment=), apt.conf, containerd's page on registry hosts, docker's on registry mirrors.
"""

from __future__ import annotations

from ipaddress import IPv4Interface
from urllib.parse import urlsplit

from iecpod.design.docker_bridge import DEFAULT_DOCKER_BRIDGE
from iecpod.release.image_reference import DOCKER_HUB
from iecpod.release.mirrors import Supply, registry_server
from iecpod.release.release import Release
from iecpod.render.node_files import DOCKER_CONFIG_PATH, REGISTRIES_DIR, render_docker_config

APT_CONF_PATH = "/etc/apt/apt.conf.d/90iecpod-proxy"
CA_DIR = "/usr/local/share/ca-certificates"


def render_apt_conf(supply: Supply) -> str:
    """Proxies for apt, and the hosts that it reaches directly; empty without a proxy."""
    lines = [
        f'Acquire::{scheme}::Proxy "{proxy}";\n'
        for scheme, proxy in (("http", supply.http_proxy), ("https", supply.https_proxy))
        if proxy
    ]
    if not lines:
        return ""
    # apt knows hosts only: no networks, no suffixes.
    hosts = [name for name in supply.no_proxy if "/" not in name and not name.startswith(".")]
    direct = [f'Acquire::{scheme}::Proxy::{host} "DIRECT";\n' for host in hosts for scheme in ("http", "https")]
    return "".join(lines + direct)


def render_ca_files(supply: Supply) -> dict[str, str]:
    """One certificate a file, where update-ca-certificates looks."""
    return {
        f"{CA_DIR}/iecpod-{number}.crt": certificate
        for number, certificate in enumerate(supply.ca_certificates, start=1)
    }


def render_runtime_files(
    release: Release, supply: Supply, docker_bridge: IPv4Interface | None = None
) -> dict[str, str]:
    """Text by path of what the container runtime reads when it starts; empty where it goes to upstream itself."""
    bridge = None if docker_bridge == DEFAULT_DOCKER_BRIDGE else docker_bridge
    files = {}
    if supply.has_proxy:
        files[f"/etc/systemd/system/{release.runtime}.service.d/20-iecpod-proxy.conf"] = _proxy_drop_in(supply)
    if release.runtime == "docker":
        mirrors = [url for registry, url in supply.registry_mirrors.items() if registry == DOCKER_HUB]
        if mirrors or bridge:
            files[DOCKER_CONFIG_PATH] = render_docker_config(release, mirrors, bridge)
    else:
        for registry, url in supply.registry_mirrors.items():
            files[f"{REGISTRIES_DIR}/{registry}/hosts.toml"] = _hosts_file(registry, url)
    return files


def _proxy_drop_in(supply: Supply) -> str:
    variables = {
        "HTTP_PROXY": supply.http_proxy,
        "HTTPS_PROXY": supply.https_proxy,
        "NO_PROXY": ",".join(supply.no_proxy),
    }
    # systemd takes % for the beginning of a specifier.
    lines = [f'Environment="{name}={value.replace("%", "%%")}"\n' for name, value in variables.items() if value]
    return "[Service]\n" + "".join(lines)


def _hosts_file(registry: str, url: str) -> str:
    """A mirror with a path of its own is asked as it stands, without `/v2` put behind it."""
    own_path = urlsplit(url).path.strip("/")
    return f'server = "{registry_server(registry)}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n' + (
        "  override_path = true\n" if own_path else ""
    )
