"""The record on a node: whose it is, and what there was before the first change.

It is a directory that only root may read, written whole and then given its name, so that there is one or there is none.
Paths are added to it before a deploy writes them; each is in the list only when what was there is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from iecpod.design.owner import Owner
from iecpod.errors import NodeError
from iecpod.ports import Shell
from iecpod.providers.existing.node_changes import NodeChanges
from iecpod.providers.existing.node_facts import RECORD_DIR

FOREIGN = 3

_SECONDS = 300.0

#: What Kubernetes, container runtimes and pod networks set; the first decides about others, so it is first.
SYSCTLS = (
    *("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding", "net/bridge/*"),
    *("vm/overcommit_memory", "vm/panic_on_oom", "vm/max_map_count", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/netfilter/nf_conntrack_max"),
    *("net/netfilter/nf_conntrack_tcp_*", "net/netfilter/nf_conntrack_udp_*", "net/ipv4/vs/*"),
    *("net/ipv4/neigh/default/gc_thresh*", "net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/rp_filter"),
    *("net/ipv4/conf/*/route_localnet", "net/ipv4/conf/*/arp_*", "net/ipv4/conf/*/proxy_arp"),
    *("net/ipv4/conf/*/send_redirects", "net/ipv4/conf/*/accept_redirects", "net/ipv4/conf/*/src_valid_mark"),
    *("net/ipv6/conf/*/accept_ra", "net/ipv6/conf/*/forwarding"),
)

#: Shell. Functions that list what a node is like, each line one thing; the record and the look afterwards share them.
#: They fail where the node does not say it: a busy systemd may not answer in time, and what is empty then is unknown.
OBSERVE = f"""
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
record={RECORD_DIR}
ask() {{
    for asked in 1 2 3 4; do
        if answer=$("$@"); then
            test -z "$answer" || printf '%s\\n' "$answer"
            return 0
        fi
    done
    return 1
}}
list_packages() {{
    found=$(ask dpkg-query --show --showformat='${{binary:Package}} ${{Version}} ${{db:Status-Status}}\\n') || return 1
    printf '%s\\n' "$found" | awk '$3 == "installed" {{ print $1, $2 }}' | sort
}}
list_enabled() {{
    # From the files: systemd itself takes a busy machine longer to say it than systemctl waits.
    found=$(systemctl --root=/ list-unit-files --no-legend --no-pager --state=enabled,masked) || return 1
    printf '%s\\n' "$found" | awk 'NF {{ print $1, $2 }}' | sort
}}
list_active() {{
    found=$(ask systemctl list-units --no-legend --no-pager --plain --state=active) || return 1
    printf '%s\\n' "$found" | awk 'NF {{ print $1 }}' | sort
}}
list_sysctls() {{
    (cd /proc/sys && for name in {" ".join(SYSCTLS)}; do
        test ! -r "$name" || printf '%s\\t%s\\n' "$name" "$(cat "$name" 2> /dev/null)"
    done)
}}
list_swaps() {{ awk 'NR > 1 {{ print $1 }}' /proc/swaps; }}
list_modules() {{ awk '{{ print $1 }}' /proc/modules | sort; }}
list_interfaces() {{ ls /sys/class/net; }}
list_namespaces() {{ ls /run/netns 2> /dev/null || true; }}
list_rules() {{
    for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
        if command -v "$program-save" > /dev/null; then
            echo "# $program"
            "$program-save" 2> /dev/null | sed -e '/^#/d' -e 's/\\[[0-9]*:[0-9]*\\]/[0:0]/'
        fi
    done
}}
"""

#: Arguments: installation, POD, node. Exits with `FOREIGN`, and prints whose it is, where the record is another's.
_BEGIN = f"""
set -eu
umask 077
{OBSERVE}
owner=$(printf 'installation=%s\\npod=%s\\nnode=%s' "$1" "$2" "$3")
mkdir -p "${{record%/*}}"
rm -rf "${{record%/*}}"/record.new.*
if test ! -e "$record"; then
    new=$(mktemp -d "$record.new.XXXXXXXX")
    printf '%s\\n' "$owner" > "$new/owner"
    for what in packages enabled active sysctls swaps modules interfaces namespaces rules; do
        "list_$what" > "$new/$what" || {{ echo "its $what are not known" >&2; exit 1; }}
    done
    apt-mark showhold > "$new/holds" 2> /dev/null || true
    cp -p /etc/hosts "$new/hosts"
    test ! -e /etc/fstab || cp -p /etc/fstab "$new/fstab"
    : > "$new/claims"
    mkdir "$new/files"
    sync "$new"
    mv -T "$new" "$record"
fi
test "$(cat "$record/owner")" = "$owner" || {{ tr '\\n' ' ' < "$record/owner"; exit {FOREIGN}; }}
"""

#: Input: `KIND PATH` a line. A path that is in the list has been kept as it was; another is kept now. With a path
#: that is missing stands the topmost of its directories that is missing, too.
_CLAIM = f"""
set -eu
umask 077
record={RECORD_DIR}
test -e "$record/owner"
while read -r kind path; do
    if awk -v path="$path" '$3 == path {{ found = 1 }} END {{ exit !found }}' "$record/claims"; then continue; fi
    if test -e "$path" || test -L "$path"; then
        state=there top=$path
        if test "$kind" != data; then
            rm -rf "$record/files$path"
            mkdir -p "$record/files${{path%/*}}"
            cp -a "$path" "$record/files$path"
        elif test -d "$path" && test -z "$(ls -A "$path")"; then
            state=empty
        fi
    else
        state=missing top=$path
        while test ! -e "${{top%/*}}/"; do top=${{top%/*}}; done
    fi
    printf '%s %s %s %s\\n' "$state" "$kind" "$path" "$top" >> "$record/claims"
done
"""

#: Arguments: `NAME VALUE` each. Values that a later deploy gives are added to those of before.
_SET = f"""
set -eu
umask 077
record={RECORD_DIR}
while test $# -gt 0; do
    touch "$record/set-$1"
    for value in $2; do
        grep -qxF -- "$value" "$record/set-$1" || printf '%s\\n' "$value" >> "$record/set-$1"
    done
    shift 2
done
"""

#: Arguments: user, line of authorized_keys. What was there before is noted, before the line is.
_ADD_KEY = f"""
set -eu
umask 077
record={RECORD_DIR}
home=$(getent passwd "$1" | cut -d: -f6)
test -d "$home"
file=$home/.ssh/authorized_keys
if test ! -e "$record/key-$1"; then
    state=there
    test -e "$file" || state=file
    test -e "$home/.ssh" || state=directory
    printf '%s\\n%s\\n%s\\n%s\\n' "$1" "$file" "$state" "$2" > "$record/new-key"
    mv "$record/new-key" "$record/key-$1"
fi
runuser -u "$1" -- sh -euc '
umask 077
mkdir -p "${{1%/*}}"
touch "$1"
grep -qxF -- "$2" "$1" && exit
test ! -s "$1" || test -z "$(tail -c 1 "$1")" || echo >> "$1"
printf "%s\\n" "$2" >> "$1"
' add-key "$file" "$2"
"""


def begin_record(shell: Shell, owner: Owner) -> None:
    """Writes down what the node is like, unless that was done before. Raises `NodeError` for a node of others."""
    argv = ["sh", "-c", _BEGIN, "begin-record", owner.installation, str(owner.ref), shell.node]
    done = shell.run(argv, check=False, timeout_seconds=_SECONDS)
    if done.returncode == FOREIGN:
        raise NodeError(
            shell.node,
            f"it is kept by another deploy of iecpod: {done.stdout.strip()[:300]}",
            "tear that one down from where it was deployed, or choose another machine",
        )
    if done.returncode != 0:
        raise NodeError(
            shell.node,
            f"what it is like cannot be recorded: {done.stderr.strip()[-300:]}",
            f"see whether {RECORD_DIR} can be written there; nothing was changed",
        )


def claim(shell: Shell, changes: NodeChanges) -> None:
    """Keeps what is at the paths that a deploy is about to write. To be repeated with each deploy."""
    lines = "".join(f"{claimed.kind.value} {claimed.path}\n" for claimed in changes.claims)
    shell.run(["sh", "-c", _CLAIM, "claim"], stdin=lines.encode(), timeout_seconds=_SECONDS)
    values: Mapping[str, str] = {
        "packages": " ".join(changes.packages),
        "cidrs": f"{changes.pod_cidr} {changes.service_cidr}",
        "runtime": changes.runtime,
        "cri": changes.cri_socket,
    }
    pairs = [word for pair in values.items() for word in pair]
    shell.run(["sh", "-c", _SET, "set", *pairs], timeout_seconds=_SECONDS)


def add_key(shell: Shell, user: str, line: str) -> None:
    """The POD's public key into the user's authorized_keys."""
    shell.run(["sh", "-c", _ADD_KEY, "add-key", user, line], timeout_seconds=_SECONDS)
