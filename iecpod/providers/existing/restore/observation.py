"""Shell: functions that list what a node is like. The record and the comparison with it share them."""

from __future__ import annotations

from iecpod.providers.existing.node_facts import RECORD_DIR

#: The functions by name: `list_NAME`. Modules come first: looking at rules and sets may load some.
OBSERVED = (
    *("modules", "packages", "holds", "enabled", "active", "sysctls", "swaps", "interfaces", "namespaces", "routes"),
    *("rules", "ipsets", "hosts", "fstab"),
)

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

#: Each line is one thing. They fail where the node does not say it: a busy systemd may not answer in time, and what is
#: empty then is unknown.
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
list_holds() {{
    found=$(ask apt-mark showhold) || return 1
    printf '%s\\n' "$found" | awk 'NF' | sort
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
list_swaps() {{ awk 'NR > 1 {{ print $1, $5 }}' /proc/swaps; }}
list_modules() {{ awk '{{ print $1 }}' /proc/modules | sort; }}
list_interfaces() {{ ls /sys/class/net; }}
list_namespaces() {{ ls /run/netns 2> /dev/null || true; }}
list_routes() {{
    found=$(ip -4 route show table all && {{ test ! -e /proc/net/if_inet6 || ip -6 route show table all; }}) || return 1
    # What restates an address of the node is left out, and what changes by itself.
    printf '%s\\n' "$found" | sed -E -e '/^(local|broadcast|anycast|multicast) /d' -e '/ table local /d' \\
        -e 's/ (expires [0-9]+sec|linkdown|dead)//g' -e 's/ +$//' -e '/^$/d' | sort
}}
list_ipsets() {{
    command -v ipset > /dev/null || return 0
    # Without its kernel module there are none, and the program fails.
    found=$(ipset list -name 2> /dev/null) || {{ test ! -d /sys/module/ip_set; return; }}
    printf '%s\\n' "$found" | awk 'NF' | sort
}}
list_hosts() {{ cat /etc/hosts; }}
list_fstab() {{ test ! -e /etc/fstab || cat /etc/fstab; }}
list_rules() {{
    for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
        if command -v "$program-save" > /dev/null; then
            echo "# $program"
            "$program-save" 2> /dev/null | sed -e '/^#/d' -e 's/\\[[0-9]*:[0-9]*\\]/[0:0]/'
        fi
    done
}}
"""
