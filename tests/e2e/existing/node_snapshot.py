"""All of a machine that a teardown answers for, as lines; and how two of them differ."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

#: As root. The modules come last: looking at rules and sets loads some. Left out is what changes by itself.
SNAPSHOT = """
export LC_ALL=C
ask() {
    for asked in 1 2 3 4 5 6 7 8; do
        if answer=$("$@"); then printf '%s\\n' "$answer"; return; fi
    done
    return 1
}
find /etc /usr/bin /usr/local /opt /home /var/lib/iecpod /var/lib/kubelet /var/lib/containerd -xdev \\
    ! -path '/etc/ld.so.cache' ! -path '/home/iec/.cache*' -printf '%p %y %m %U:%G %l\\n' 2> /dev/null | sort
find /etc /home -xdev -type f ! -path /etc/ld.so.cache -exec sha256sum {} + | sort -k 2
dpkg-query --show --showformat='${Package} ${Version} ${db:Status-Status}\\n'
apt-mark showhold | sed 's/^/held /'
files=$(systemctl --root=/ list-unit-files --no-legend --no-pager --type=service,socket,swap)
printf '%s\\n' "$files" | awk '{print $1, $2}'
units=$(ask systemctl list-units --no-legend --no-pager --plain --type=service,swap --state=active)
printf '%s\\n' "$units" | awk '{print $1}' | grep -v user@
ls /sys/class/net | sed 's/^/interface /'
ls /run/netns 2> /dev/null | sed 's/^/namespace /'
ls -d /run/iecpod-* 2> /dev/null || true
awk 'NR > 1 {print "swap", $1, $2, $5}' /proc/swaps
{ ip -4 route show table all; ip -6 route show table all; } |
    sed -E -e 's/ (expires [0-9]+sec|linkdown)//g' -e 's/ +$//' -e 's/^/route /'
sysctl --all 2> /dev/null | grep -E '^(net\\.(ipv4|ipv6|bridge)|vm|kernel\\.panic)' |
    grep -vE 'tcp_fastopen_key|stable_secret' | sed 's/^/sysctl /'
for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
    command -v "$program-save" > /dev/null || continue
    "$program-save" 2> /dev/null | sed -E 's/\\[[0-9]+:[0-9]+\\]//' |
        awk -v program="$program" '/^[*]/ {table = $1} /^-A/ || /^:.* (DROP|-) / {print program, table, $0}'
done
if command -v ipset > /dev/null; then ipset list -name 2> /dev/null | sed 's/^/ipset /'; fi
awk '{print "module " $1}' /proc/modules | sort
"""

#: What teardown says of modules that nothing can unload (docs/existing-nodes.md).
_STAYING = re.compile(r"(iec0[0-9]): differs from before: kernel modules that stay until a reboot[^:]*: (.*)")
#: Sysctls that are there as long as a module is.
_SYSCTLS_OF = {"br_netfilter": "sysctl net.bridge.", "ip_vs": "sysctl net.ipv4.vs."}


def staying_modules(said: str, hostname: str) -> set[str]:
    """The modules that some run has reported to stay on a machine."""
    return {module for name, listed in _STAYING.findall(said) if name == hostname for module in listed.split()}


def differences(before: Sequence[str], now: Sequence[str], staying: Collection[str]) -> list[str]:
    """With `+` or `-`; without the modules that stay, and the sysctls that they bring."""
    allowed = {f"+module {module}" for module in staying}
    brought = tuple(f"+{prefix}" for module, prefix in _SYSCTLS_OF.items() if module in staying)
    lines = [line for line in difflib.unified_diff(before, now, lineterm="", n=0) if line[:1] in "+-"][2:]
    return [line for line in lines if line not in allowed and not (brought and line.startswith(brought))]
