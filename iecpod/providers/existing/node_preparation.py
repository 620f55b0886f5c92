"""What guests of iecpod are given at their first boot, for machines that had their first boot long ago."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.deploy.node.file_digests import CHECK_DIGESTS, digest_lines
from iecpod.deploy.node.node_probe import is_in_place
from iecpod.deploy.waiting.node_times import NodeTimes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.waits import Waits
from iecpod.design.owner import Owner
from iecpod.design.pod_design import PodDesign
from iecpod.errors import NodeError
from iecpod.ports import Reporter, Shell
from iecpod.providers.existing.node_changes import DPKG_CONF, ENVIRONMENT_CONF, NodeChanges
from iecpod.providers.existing.node_facts import RECORD_DIR
from iecpod.providers.existing.record import begin_record, claim
from iecpod.release.release import ImageSourceType
from iecpod.render.low_overhead import GO_ENVIRONMENT
from iecpod.render.mirror_files import APT_CONF_PATH, CA_DIR, render_apt_conf, render_ca_files
from iecpod.render.node_files import render_node_files

SWAP_STAYS = 4
_SECONDS = 300.0

#: A bundle that has exactly what an image of iecpod lacks is unpacked as it is. A machine may have newer packages.
_KEEP_NEWER = "refuse-downgrade\nskip-same-version\n"

_APT_TIMEOUT = 'DPkg::Lock::Timeout "900";\n'

#: The units of swap that fstab does not make are masked, or the next boot would bring it back.
_SWAP_OFF = f"""
set -u
record={RECORD_DIR}
for unit in $(systemctl list-units --type=swap --state=active --no-legend --no-pager --plain | awk '{{ print $1 }}'); do
    source=$(systemctl show --property=FragmentPath --value "$unit")
    fstab=$(systemctl show --property=SourcePath --value "$unit")
    test "$fstab" = /etc/fstab && continue
    grep -qxF -- "$unit" "$record/set-masked" 2> /dev/null || echo "$unit" >> "$record/set-masked"
done
test ! -e /etc/fstab || sed -i -E \\
    '/^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]/s/^/#iecpod-swap# /' /etc/fstab
test "$(awk 'NR > 1' /proc/swaps | wc -l)" -eq 0 || swapoff --all || exit {SWAP_STAYS}
test "$(awk 'NR > 1' /proc/swaps | wc -l)" -eq 0 || exit {SWAP_STAYS}
test ! -e "$record/set-masked" || while read -r unit; do systemctl mask --quiet "$unit"; done < "$record/set-masked"
systemctl daemon-reload
"""

#: Arguments: lines for the nodes, as guests of iecpod have them. The lines of a run before are replaced.
_HOSTS = """
set -eu
sed -e '/^# iecpod: begin/,/^# iecpod: end/d' /etc/hosts > /etc/hosts.iecpod
{
    echo "# iecpod: begin"
    printf '%s\\n' "$@"
    echo "# iecpod: end"
} >> /etc/hosts.iecpod
chmod --reference=/etc/hosts /etc/hosts.iecpod
chown --reference=/etc/hosts /etc/hosts.iecpod
mv /etc/hosts.iecpod /etc/hosts
"""

#: Arguments: whether there are certificates, environment for systemd.
_APPLY = """
set -eu
modprobe --all overlay br_netfilter
sysctl --quiet --load /etc/sysctl.d/90-iecpod-kubernetes.conf
if test "$1" = certificates; then update-ca-certificates > /dev/null; fi
shift
if test $# -gt 0; then systemctl set-environment "$@"; fi
"""

#: Arguments: digests of files, then lines of /etc/hosts.
_CHECK = f"""
{CHECK_DIGESTS}
shift
test -e {RECORD_DIR}/set-packages
test "$(awk 'NR > 1' /proc/swaps | wc -l)" -eq 0
for line; do
    sed -n '/^# iecpod: begin/,/^# iecpod: end/p' /etc/hosts | grep -qxF -- "$line"
done
"""


@dataclass(frozen=True, slots=True)
class PreparePhase:
    """Records what is there, then changes what Kubernetes needs otherwise. `find_changes` returns them by host name."""

    pod: PodDesign
    owner: Owner
    shells: Mapping[str, Shell]
    find_changes: Callable[[], Mapping[str, NodeChanges]]
    node_times: NodeTimes
    reporter: Reporter
    waits: Waits
    name: str = "prepare"
    summary: str = "what was there is recorded; swap off, kernel modules, names of the nodes"

    def probe(self) -> str | None:
        if not all(run_on_nodes(tuple(self.shells), self._is_prepared).values()):
            return None
        return f"{len(self.shells)} machines recorded and prepared"

    def run(self) -> None:
        changes = self.find_changes()
        self.node_times.on_nodes(tuple(self.shells), lambda hostname: self._prepare(hostname, changes[hostname]))

    def _is_prepared(self, hostname: str) -> bool:
        """Raises `WaitTimeout` where the node does not say it."""
        return is_in_place(self.shells[hostname], self.waits, _CHECK, digest_lines(self._files()), *self.pod.host_lines)

    def _prepare(self, hostname: str, changes: NodeChanges) -> None:
        shell = self.shells[hostname]
        begin_record(shell, self.owner)
        claim(shell, changes)
        self.reporter.progress("recorded", hostname)
        switch_swap_off(shell)
        shell.run(["sh", "-c", _HOSTS, "hosts", *self.pod.host_lines], timeout_seconds=_SECONDS)
        for path, text in self._files().items():
            shell.write_file(path, text.encode())
        certificates = "certificates" if self.pod.supply.ca_certificates else ""
        variables = GO_ENVIRONMENT if self.pod.cluster.low_overhead else {}
        environment = [f"{name}={value}" for name, value in variables.items()]
        shell.run(["sh", "-c", _APPLY, "apply", certificates, *environment], timeout_seconds=_SECONDS)

    def _files(self) -> dict[str, str]:
        """Those that a guest has from its seed, and those by which a reboot finds what Kubernetes needs."""
        kernel = {
            path: text
            for path, text in render_node_files(self.pod.cluster.release).items()
            if path.startswith(("/etc/modules-load.d/", "/etc/sysctl.d/"))
        }
        assert all(path.startswith(CA_DIR) for path in render_ca_files(self.pod.supply))
        files = {
            **kernel,
            **render_ca_files(self.pod.supply),
            APT_CONF_PATH: render_apt_conf(self.pod.supply) + _APT_TIMEOUT,
        }
        if self.pod.cluster.release.image.type is ImageSourceType.MMDEBSTRAP:
            files[DPKG_CONF] = _KEEP_NEWER
        if self.pod.cluster.low_overhead:
            variables = " ".join(f"{name}={value}" for name, value in GO_ENVIRONMENT.items())
            files[ENVIRONMENT_CONF] = f"[Manager]\nDefaultEnvironment={variables}\n"
        return files


def switch_swap_off(shell: Shell) -> None:
    """Raises `NodeError` where the node does not let it be switched off: once, and nothing is tried again."""
    done = shell.run(["sh", "-c", _SWAP_OFF, "swap-off"], check=False, timeout_seconds=_SECONDS)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["swap is in use all the same"])[-1][:300]
        raise NodeError(
            shell.node,
            f"swap cannot be switched off: `swapoff --all` says: {why}",
            "run `sudo swapoff --all` there and see what keeps it; in a container, its host has to do it. teardown "
            "puts back what was changed so far",
        )
