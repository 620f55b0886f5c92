"""The logs of one node, fetched with one command: a shell script gathers them, bounds them and prints them as a tar."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from iecpod.errors import NodeError
from iecpod.files.tar import OddTar, TarBounds, read_tar
from iecpod.ports import Shell
from iecpod.render.kubeconfig import ADMIN_CONF

_KIB = 1 << 10
_MIB = 1 << 20

_JOURNAL = "journalctl --boot --no-pager --output=short-iso --lines=200000"
_KUBECTL = f"kubectl --kubeconfig={ADMIN_CONF} --request-timeout=60s"

#: File, the most bytes that are kept of its end, and the command that prints it.
_SECTIONS = (
    ("cloud-init/result.json", _MIB, "cat /run/cloud-init/result.json"),
    ("cloud-init/status.json", _MIB, "cat /run/cloud-init/status.json"),
    ("cloud-init/cloud-init.log", 4 * _MIB, "cat /var/log/cloud-init.log"),
    ("cloud-init/cloud-init-output.log", 4 * _MIB, "cat /var/log/cloud-init-output.log"),
    ("network/addresses.txt", _MIB, "ip address show"),
    ("network/routes.txt", _MIB, "ip route show table all"),
    ("system/units.txt", _MIB, "systemctl list-units --all --no-pager --plain"),
    ("system/space.txt", _MIB, "df -h"),
    ("system/memory.txt", _MIB, "free -m"),
    ("journal/kubeadm.log", 4 * _MIB, f"{_JOURNAL} --unit=iecpod-kubeadm-*"),
    ("journal/kubelet.log", 8 * _MIB, f"{_JOURNAL} --unit=kubelet"),
    ("journal/runtime.log", 8 * _MIB, f"{_JOURNAL} --unit=containerd --unit=docker"),
    ("journal/all.log", 20 * _MIB, _JOURNAL),
)
_CLUSTER_SECTIONS = (
    ("cluster/nodes.txt", _MIB, f"{_KUBECTL} get nodes -o wide"),
    ("cluster/all.txt", 4 * _MIB, f"{_KUBECTL} get all --all-namespaces -o wide"),
    ("cluster/events.txt", 4 * _MIB, f"{_KUBECTL} get events --all-namespaces --sort-by=.metadata.creationTimestamp"),
)
_MOST_CONTAINERS = 200
_CONTAINER_BYTES = 128 * _KIB

#: A command that hangs, as kubectl without an API server, costs its own output only.
_COMMAND_SECONDS = 120
_NODE_SECONDS = 900.0
#: The sections are 60 MiB at most, and the containers 25.
_BOUNDS = TarBounds(total_bytes=128 * _MIB, members=2000)
_MISSING = "MISSING"
_MOST_LINES = 1000
_MOST_CHARACTERS = 1000

_SCRIPT = """
umask 077
export LC_ALL=C
directory=$(mktemp -d -p /var/tmp iecpod-logs.XXXXXXXX || mktemp -d -p /run iecpod-logs.XXXXXXXX) || exit 1
trap 'rm -rf "$directory"' EXIT
trap 'exit 1' HUP INT TERM
cd "$directory" || exit 1
mkdir logs
: > logs/MISSING
collect() {
    file=logs/$1 bytes=$2 status=0
    shift 2
    mkdir -p "${file%/*}"
    timeout --kill-after=5 SECONDS "$@" > output 2> errors < /dev/null || status=$?
    tail -c "$bytes" output > "$file"
    [ -s "$file" ] || rm -f "$file"
    [ "$status" -eq 0 ] || echo "${file#logs/}: exit status $status: $(tail -n 1 errors)" >> logs/MISSING
}
set -f
SECTIONS
set +f
if [ -d /var/log/pods ]; then
    find -L /var/log/pods -type f -name '*.log' | sort | head -n MOST_CONTAINERS | while read -r log; do
        file=logs/containers/${log#/var/log/pods/}
        mkdir -p "${file%/*}"
        tail -c CONTAINER_BYTES "$log" > "$file" || echo "containers: $log cannot be read" >> logs/MISSING
    done
else
    echo 'containers: there is no /var/log/pods' >> logs/MISSING
fi
tar -C logs -cf - . | gzip -1 | base64 -w 0
"""


@dataclass(frozen=True, slots=True)
class GuestLogs:
    """`files` by their path, `missing` what could not be read, each with its reason."""

    files: Mapping[str, bytes]
    missing: tuple[str, ...]


def gather_script(*, with_cluster: bool) -> str:
    """What runs on the node, as root; it leaves nothing there."""
    sections = (*_SECTIONS, *(_CLUSTER_SECTIONS if with_cluster else ()))
    script = _SCRIPT.replace(
        "SECTIONS", "\n".join(f"collect {file} {most} {command}" for file, most, command in sections)
    )
    for word, number in (
        ("MOST_CONTAINERS", _MOST_CONTAINERS),
        ("CONTAINER_BYTES", _CONTAINER_BYTES),
        ("SECONDS", _COMMAND_SECONDS),
    ):
        script = script.replace(word, str(number))
    return script


def fetch_guest_logs(shell: Shell, *, with_cluster: bool) -> GuestLogs:
    """Raises `NodeUnreachable`, `CommandFailed`, `WaitTimeout`, and `NodeError` for what is no archive."""
    script = gather_script(with_cluster=with_cluster)
    output = shell.run(["sh", "-c", script], timeout_seconds=_NODE_SECONDS).stdout
    try:
        with gzip.open(io.BytesIO(base64.b64decode(output, validate=True))) as stream:
            files = {_path(file.name): file.content() for file in read_tar(cast(BinaryIO, stream), _BOUNDS)}
    except (ValueError, OddTar) as error:
        raise NodeError(shell.node, f"its logs arrived damaged: {error}", "collect them again") from error
    missing = files.pop(_MISSING, b"").decode(errors="replace").splitlines()[:_MOST_LINES]
    if files.pop("", None) is not None:
        missing.append("logs: some files have names that no log has")
    return GuestLogs(files, tuple(line[:_MOST_CHARACTERS] for line in missing))


def _path(name: str) -> str:
    """Below the directory of the logs; empty where that is no such name, since a node may write what it likes."""
    path = PurePosixPath(name)
    is_one = not path.is_absolute() and ".." not in path.parts and len(name) <= _MOST_CHARACTERS and name.isprintable()
    return str(path) if is_one else ""
