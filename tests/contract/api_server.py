"""An API server of Kubernetes 1.37 on the loopback of a namespace of its own, with the etcd that it keeps its data in.

Programs come from the cache of a machine that has deployed k8s-1.37-go.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.adapters.api_client import ApiClient
from iecpod.adapters.api_connector import ApiConnector
from iecpod.providers.libvirt.embedded.namespaces import run_inside
from tests.compiled import find_go_program
from tests.unit.deploy.admin_conf import authority, credentials, pem, server_pair

#: Nothing else is in the network namespace, so the usual ports are free; all processes end with the first.
_ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child")
LOOPBACK = [*_ALONE, "sh", "-c", 'ip link set lo up && exec "$@"', "loopback"]


@dataclass(frozen=True)
class Api:
    """An API server of its own, and kubectl in its namespace, which is that of the process `pid`."""

    kubectl_argv: list[str]
    pid: int

    @property
    def client(self) -> ApiClient:
        """As its administrator."""
        connector = ApiConnector("127.0.0.1", 6443, load_credentials=credentials, ways=(self.open_socket,))
        return ApiClient("iec01", connector)

    def open_socket(self, address: str, port: int, seconds: float) -> socket.socket:
        return run_inside(Path(f"/proc/{self.pid}/ns/net"), lambda: socket.create_connection((address, port), seconds))

    def kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = [*self.kubectl_argv, *arguments]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=300, check=False)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)


@contextmanager
def api_server(directory: Path) -> Iterator[Api | None]:
    """None where Kubernetes is not on this machine, or no namespace can be made."""
    kubernetes, etcd = find_go_program("kubernetes"), find_go_program("etcd")
    if kubernetes is None or etcd is None or os.geteuid() != 0:
        yield None
        return
    server_program, kubectl = directory / "kube-apiserver", directory / "kubectl"
    for program in (server_program, kubectl):  # it goes by the name that it is called by
        program.symlink_to(kubernetes)
    key = directory / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (directory / "tokens").write_text("token,admin,admin,system:masters\n")
    (directory / "tokens").chmod(0o600)
    key_file, certificate_file, ca_file = (directory / name for name in ("tls.key", "tls.crt", "ca.crt"))
    for path, part in zip((key_file, certificate_file), server_pair("127.0.0.1"), strict=True):
        path.write_bytes(part)
    ca_file.write_bytes(pem(authority().certificate))
    run = (
        f'"$1" --data-dir={directory}/etcd --unsafe-no-fsync --log-level=error & '
        f'exec "$2" --etcd-servers=http://127.0.0.1:2379 --tls-cert-file={certificate_file} '
        f"--tls-private-key-file={key_file} --client-ca-file={ca_file} --bind-address=127.0.0.1 "
        "--advertise-address=172.16.10.36 --allow-privileged=true "
        f"--token-auth-file={directory}/tokens --service-cluster-ip-range=172.16.1.0/24 "
        f"--service-account-issuer=https://lab --service-account-key-file={key} "
        f"--service-account-signing-key-file={key} --disable-admission-plugins=ServiceAccount"
    )
    log = (directory / "log").open("w")
    server = subprocess.Popen(
        [*LOOPBACK, "sh", "-c", run, "api", str(etcd), str(server_program)], stdout=log, stderr=log
    )
    try:
        yield wait_for_api(server, kubectl, directory)
    finally:
        server.kill()
        server.wait()
        log.close()


def wait_for_api(server: subprocess.Popen[bytes], kubectl: Path, directory: Path) -> Api:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        inside = ["nsenter", f"--net=/proc/{server.pid}/ns/net", str(kubectl)]
        options = ["--server=https://127.0.0.1:6443", "--insecure-skip-tls-verify", "--token=token"]
        api = Api([*inside, *options, f"--cache-dir={directory}/kubectl-cache"], server.pid)
        answer = api.kubectl("get", "--raw=/readyz")
        if answer.stdout == "ok":
            return api
        time.sleep(2)
    raise AssertionError(f"{answer}\n{(directory / 'log').read_text()[-2000:]}")
