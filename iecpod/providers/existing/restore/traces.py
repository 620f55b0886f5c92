"""Shell: what a deploy leaves on a node, as patterns, and what each script about a record begins with."""

from __future__ import annotations

from iecpod.cni.registry import ALL_TRACES
from iecpod.providers.existing.restore.observation import OBSERVE

#: Patterns of `case`.
CNI_DEVICES = "|".join((*ALL_TRACES.devices, "kube-ipvs0", "kube-dummy-if", "nodelocaldns"))
#: They stay as long as their kernel module does.
LASTING_DEVICES = "|".join(ALL_TRACES.lasting_devices)
#: Of runtimes and CNI plugins, and of other programs too: the POD's are those that are new.
SHARED_DEVICES = "veth*|docker0|br-*"
IPSETS = "|".join(("KUBE-*", *ALL_TRACES.ipsets))
#: As units they are the POD's, if they were not there before.
UNITS = "iecpod-*|kubelet.service|kubepods*|containerd.service|docker.service|docker.socket|crio.service"

#: A pattern of `grep -E`. Other rules than the CNIs' are kube-proxy's and the CNI plugins'.
RULES = "|".join(("KUBE-", "CNI-", "cnihost", *ALL_TRACES.rules))

HEADER = f"""
set -u
umask 022
{OBSERVE}
test -e "$record/owner" || exit 0
was() {{ grep -qxF -- "$2" "$record/$1" 2> /dev/null; }}
chosen() {{ cat "$record/set-$1" 2> /dev/null || true; }}
had_runtime() {{ grep -qE '^(containerd|containerd.io|docker.io|docker-ce)(:[a-z0-9]+)? ' "$record/packages"; }}
"""

#: Sets `ours`, a pattern of the rules that the deploy and what it started have made.
OUR_RULES = f"""
ours='{RULES}'
for cidr in $(chosen cidrs); do ours="$ours|$(printf %s "$cidr" | sed 's/[.]/[.]/g')"; done
had_runtime || ours="$ours|DOCKER|docker0"
"""

#: Modules may use each other, so there are several rounds; one that something uses stays.
UNLOAD = """
unload_modules() {
    for try in 1 2 3 4 5 6; do
        for module in $(awk '$3 == 0 { print $1 }' /proc/modules); do
            was modules "$module" && continue
            case $module in
            overlay|br_netfilter|bridge|stp|llc|veth|vxlan|ipip|dummy|tunnel4|ip_tunnel|udp_tunnel|ip6_udp_tunnel|\
            *tables|iptable_*|ip6table_*|xt_*|ipt_*|ip6t_*|nf_*|nft_*|nfnetlink*|ip_set*|ip_vs*|libcrc32c|aufs|sch_*|\
            cls_bpf)
                modprobe --remove "$module" 2> /dev/null || rmmod "$module" 2> /dev/null ;;
            esac
        done
    done
}
"""

#: Those that came as what packages of the deploy need or recommend are marked so; nobody chose them since.
NEW_PACKAGES = """
list_new() {
    list_packages | awk 'NR == FNR { before[$1] = 1; next } !($1 in before) { print $1 }' "$record/packages" -
}
list_new_dependencies() {
    automatic=$(apt-mark showauto)
    for package in $(list_new); do
        was set-dependencies "${package%%:*}" || continue
        if printf '%s\\n' "$automatic" | grep -qxF -e "$package" -e "${package%%:*}"; then echo "$package"; fi
    done
}
is_removable() { dpkg --simulate --purge "$1" > /dev/null 2>&1; }
"""

#: Names of the packages of the deploy, and of all that they need or recommend, as long as they are there to say so.
DEPENDENCIES = """
list_dependencies() {
    {
        chosen packages
        dpkg-query --show --showformat='${Package}\\t${Pre-Depends}, ${Depends}, ${Recommends}\\t${Provides}\\n'
    } | awk -F '\\t' '
    NF == 1 { wanted[$1] = 1; next }
    {
        count = split($2, named, /[,|]/)
        for (i = 1; i <= count; i++) {
            sub(/^ +/, "", named[i])
            sub(/[ :(].*$/, "", named[i])
            needs[$1] = needs[$1] " " named[i]
        }
        count = split($3, named, /,/)
        for (i = 1; i <= count; i++) {
            sub(/^ +/, "", named[i])
            sub(/[ :(].*$/, "", named[i])
            providers[named[i]] = providers[named[i]] " " $1
        }
    }
    END {
        do {
            grown = 0
            for (package in needs) {
                if (!(package in wanted) || package in seen) continue
                seen[package] = grown = 1
                count = split(needs[package], named, " ")
                for (i = 1; i <= count; i++) {
                    wanted[named[i]] = 1
                    others = split(providers[named[i]], provider, " ")
                    for (j = 1; j <= others; j++) wanted[provider[j]] = 1
                }
            }
        } while (grown)
        for (package in seen) print package
    }'
}
"""
