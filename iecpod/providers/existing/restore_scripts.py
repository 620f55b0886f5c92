"""Shell for a node that is to be as it was: one script a step. Each may be repeated, and ended anywhere.

All of them read the record, and change only what it or a name shows to be the POD's.
"""

from __future__ import annotations

from iecpod.cni.registry import ALL_TRACES
from iecpod.deploy.phases.runtime import KUBEADM_SAID
from iecpod.providers.existing.record import OBSERVE
from iecpod.render.package_locks import WAITING_DPKG

_SECONDS_FOR_RESET = 900

#: What pod networks make, as patterns of `case` and of `grep -E`. Other rules are kube-proxy's and the CNI plugins'.
_CNI_DEVICES = "|".join(ALL_TRACES.devices)
_LASTING_DEVICES = "|".join(ALL_TRACES.lasting_devices)
_CNI_IPSETS = "|".join(ALL_TRACES.ipsets)
_RULES = "|".join(("KUBE-", "CNI-", "cnihost", *ALL_TRACES.rules))
_RUN_DIRECTORIES = [path for path in ALL_TRACES.directories if path.startswith("/run/")]
_CNI_MOUNTS = " ".join([*_RUN_DIRECTORIES, *(f"/var{path}" for path in _RUN_DIRECTORIES)])

_HEADER = f"""
set -u
umask 022
{OBSERVE}
test -e "$record/owner" || exit 0
was() {{ grep -qxF -- "$2" "$record/$1" 2> /dev/null; }}
chosen() {{ cat "$record/set-$1" 2> /dev/null || true; }}
had_runtime() {{ grep -qE '^(containerd|containerd.io|docker.io|docker-ce)(:[a-z0-9]+)? ' "$record/packages"; }}
"""

#: Runs a command as a unit of systemd, for so many seconds at most; one of a run before is waited for.
_JOB = """
job() {
    unit=iecpod-restore-$1.service seconds=$2
    shift 2
    left=$seconds
    while test "$(systemctl is-active "$unit" 2> /dev/null)" = active -a "$left" -gt 0; do
        sleep 1
        left=$((left - 1))
    done
    systemctl reset-failed "$unit" 2> /dev/null
    systemd-run --quiet --wait --pipe --collect --unit="$unit" --property=RuntimeMaxSec="$seconds" -- "$@" < /dev/null
}
"""

#: A reset that fails or hangs is no end: what it leaves is removed by the steps that follow.
LEAVE = f"""{_HEADER}{_JOB}
systemctl stop iecpod-kubeadm-init.service iecpod-kubeadm-join.service iecpod-packages.service 2> /dev/null
command -v kubeadm > /dev/null || exit 0
test -d /etc/kubernetes || test -d /var/lib/kubelet || exit 0
socket=$(chosen cri | head -n 1)
job reset {_SECONDS_FOR_RESET} kubeadm reset --force ${{socket:+--cri-socket="$socket"}}
"""

# Units are listed from the files, too: a busy systemd may not answer in time, and what is silent is not empty.
STOP = f"""{_HEADER}
list_own_units() {{
    systemctl list-unit-files --no-legend --no-pager 'iecpod-*' 2> /dev/null
    systemctl --root=/ list-unit-files --no-legend --no-pager 'iecpod-*'
}}
for unit in kubelet.service $(list_own_units | sort -u |
    awk '{{ print $1 }}' | grep -v '^iecpod-restore'); do
    systemctl disable --now --quiet "$unit" 2> /dev/null
done
systemctl reset-failed 'iecpod-*' kubelet.service 2> /dev/null
systemctl stop kubepods.slice 2> /dev/null
for slice in $(find /sys/fs/cgroup -maxdepth 2 -type d \\( -name kubepods -o -name kubepods.slice \\) 2> /dev/null); do
    for try in 1 2 3 4 5; do
        processes=$(find "$slice" -name cgroup.procs -exec cat {{}} + 2> /dev/null)
        test -n "$processes" || break
        kill -9 $processes 2> /dev/null
        sleep 1
    done
    find "$slice" -depth -type d -exec rmdir {{}} + 2> /dev/null
done
had_runtime && exit 0
for unit in docker.service docker.socket containerd.service; do
    systemctl disable --now --quiet "$unit" 2> /dev/null
    systemctl kill --signal=KILL "$unit" 2> /dev/null
done
exit 0
"""

#: Devices, namespaces, routes, mounts and rules; before packages go, since the programs for it may go with them.
NETWORK = f"""{_HEADER}
for place in /var/lib/kubelet /run/containerd /var/lib/containerd /run/netns/cni- /run/docker /var/lib/docker \\
    {_CNI_MOUNTS}; do
    case $place in *ocker*|*containerd*) had_runtime && continue ;; esac
    awk -v place="$place" 'index($2, place) == 1 {{ print $2 }}' /proc/mounts | sort -r | while read -r mounted; do
        umount "$mounted" 2> /dev/null || umount --lazy "$mounted"
    done
done
for name in $(list_namespaces); do
    was namespaces "$name" && continue
    case $name in cni-*) ip netns delete "$name" 2> /dev/null || rm -f "/run/netns/$name" ;; esac
done
for name in $(list_interfaces); do
    was interfaces "$name" && continue
    case $name in
    {_CNI_DEVICES}|{_LASTING_DEVICES}|kube-ipvs0|kube-dummy-if|veth*|nodelocaldns|docker0|br-*)
        ip link set "$name" down 2> /dev/null
        ip link delete "$name" 2> /dev/null ;;
    esac
done
for cidr in $(chosen cidrs); do
    ip -4 route show root "$cidr" 2> /dev/null | while read -r target rest; do
        case $target in
        blackhole|unreachable|prohibit) ip route delete "$target" ${{rest%% *}} 2> /dev/null ;;
        *) ip route delete "$target" 2> /dev/null ;;
        esac
    done
done
ours='{_RULES}'
for cidr in $(chosen cidrs); do ours="$ours|$(printf %s "$cidr" | sed 's/[.]/[.]/g')"; done
had_runtime || ours="$ours|DOCKER|docker0"
for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
    command -v "$program-save" > /dev/null || continue
    "$program-save" > /run/iecpod-rules 2> /dev/null || continue
    if grep -qE -e "$ours" /run/iecpod-rules; then
        if had_runtime; then closed='^$'; else closed='^:FORWARD DROP'; fi
        was rules ':FORWARD DROP [0:0]' && closed='^$'
        grep -vE -e "$ours" /run/iecpod-rules | sed -e "/$closed/s/DROP/ACCEPT/" | "$program-restore" --wait
    fi
    case $program in iptables-nft) family=ip ;; ip6tables-nft) family=ip6 ;; *) continue ;; esac
    command -v nft > /dev/null || continue
    "$program-save" 2> /dev/null | awk '/^[*]/ {{ table = substr($1, 2); seen[table] = 1 }}
        /^-A/ || /^:.* (DROP|-) / {{ used[table] = 1 }} END {{ for (t in seen) if (!(t in used)) print t }}' |
    while read -r table; do
        sed -n "/^# $program/,/^# ip/p" "$record/rules" | grep -qxF "*$table" || nft delete table "$family" "$table"
    done
done
rm -f /run/iecpod-rules {KUBEADM_SAID}-*
if command -v ipset > /dev/null; then
    for set in $(ipset list -name 2> /dev/null); do
        case $set in KUBE-*|{_CNI_IPSETS}) ipset destroy "$set" ;; esac
    done
fi
exit 0
"""

#: Of the packages that are new, those that the deploy named, and those that nothing but them needed.
PACKAGES = f"""{_HEADER}{_JOB}{WAITING_DPKG}
export DEBIAN_FRONTEND=noninteractive
list_new() {{
    list_packages | awk 'NR == FNR {{ before[$1] = 1; next }} !($1 in before) {{ print $1 }}' "$record/packages" -
}}
dpkg --configure --pending --force-confold > /dev/null
new="$(list_new) $(dpkg-query --show --showformat='${{binary:Package}} ${{db:Status-Status}}\\n' |
    awk '$2 == "config-files" {{ print $1 }}')"
purge=
for package in $new; do
    grep -q -F -- "$package " "$record/packages" && continue
    if was set-packages "${{package%%:*}}"; then purge="$purge $package"; fi
done
for package in kubeadm kubelet kubectl; do
    was holds "$package" || apt-mark unhold "$package" > /dev/null 2>&1
done
if test -n "$purge"; then until_unlocked job purge 900 dpkg --purge $purge; fi
for try in 1 2 3; do
    new=$(list_new) purge=
    unneeded=$(apt-get --simulate autoremove 2> /dev/null | awk '$1 == "Remv" {{ print $2 }}')
    for package in $unneeded; do
        case " $(echo $new) " in *" $package "*|*" $package:"*) purge="$purge $package" ;; esac
    done
    test -n "$purge" || break
    until_unlocked job purge 900 dpkg --purge $purge
done
exit 0
"""

#: Claims in the reverse order of the list: what was kept goes back, and what was not there goes.
FILES = f"""{_HEADER}
sed '1!G;h;$!d' "$record/claims" | while read -r state kind path top; do
    if test "$state" = there; then
        test "$kind" != data || continue
        saved=$record/files$path
        test -e "$saved" || test -L "$saved" || continue
        if test "$kind" = tree; then diff -rq --no-dereference "$saved" "$path" > /dev/null 2>&1
        elif test -L "$saved"; then test "$(readlink "$saved")" = "$(readlink "$path" 2> /dev/null)"
        else test ! -L "$path" && cmp -s "$saved" "$path" && chown --reference="$saved" "$path" &&
            chmod --reference="$saved" "$path"
        fi && continue
        rm -rf "$path.iecpod"
        mkdir -p "${{path%/*}}"
        cp -a "$saved" "$path.iecpod" && rm -rf "$path" && mv -T "$path.iecpod" "$path"
    elif test "$state" = empty; then
        test ! -d "$path" || find "$path" -mindepth 1 -delete 2> /dev/null
    else
        rm -rf "$path" 2> /dev/null
        while test "${{#path}}" -gt "${{#top}}"; do
            path=${{path%/*}}
            rmdir "$path" 2> /dev/null || break
        done
    fi
done
sed -i -e '/^# iecpod: begin/,/^# iecpod: end/d' /etc/hosts
test ! -e /etc/fstab || sed -i -e 's/^#iecpod-swap# //' /etc/fstab
if command -v update-ca-certificates > /dev/null && ls /etc/ssl/certs/iecpod-*.pem > /dev/null 2>&1; then
    update-ca-certificates > /dev/null 2>&1
    rm -f /etc/ssl/certs/iecpod-*.pem
fi
systemctl daemon-reload 2> /dev/null
exit 0
"""

#: Modules may use each other, so there are several rounds; one that something uses stays.
KERNEL = f"""{_HEADER}
for try in 1 2 3 4 5 6; do
    for module in $(awk '$3 == 0 {{ print $1 }}' /proc/modules); do
        was modules "$module" && continue
        case $module in
        overlay|br_netfilter|bridge|stp|llc|veth|vxlan|ipip|dummy|tunnel4|ip_tunnel|udp_tunnel|ip6_udp_tunnel|*tables|\\
        iptable_*|ip6table_*|xt_*|ipt_*|ip6t_*|nf_*|nft_*|nfnetlink*|ip_set*|ip_vs*|libcrc32c|nfnetlink|aufs|sch_*|cls_bpf)
            modprobe --remove "$module" 2> /dev/null || rmmod "$module" 2> /dev/null ;;
        esac
    done
done
while IFS="$(printf '\\t')" read -r name value; do
    test -w "/proc/sys/$name" || continue
    test "$(cat "/proc/sys/$name" 2> /dev/null)" = "$value" || printf '%s\\n' "$value" > "/proc/sys/$name"
done < "$record/sysctls" 2> /dev/null
for unit in $(chosen masked); do
    systemctl unmask --quiet "$unit" 2> /dev/null
done
systemctl unset-environment GOMAXPROCS 2> /dev/null
systemctl daemon-reload 2> /dev/null
while read -r device; do
    list_swaps | grep -qxF -- "$device" || swapon "$device" 2> /dev/null
done < "$record/swaps"
while read -r unit state; do
    case $unit in containerd.service|docker.service|docker.socket|kubelet.service) ;; *) continue ;; esac
    test "$state" = enabled || continue
    systemctl enable --quiet "$unit" 2> /dev/null
    ! was active "$unit" || systemctl restart "$unit" 2> /dev/null
done < "$record/enabled"
exit 0
"""

#: What differs from the record yet, a line each: `kind name`.
COMPARE = f"""{_HEADER}
list_packages | awk 'NR == FNR {{ before[$1] = $2; next }}
    !($1 in before) {{ print "new", $1, $2 }}
    ($1 in before) && before[$1] != $2 {{ print "changed", $1, $2, before[$1] }}' "$record/packages" - |
while read -r how package version before; do
    if test "$how" = changed && was set-packages "${{package%%:*}}"; then
        echo "package $package, which is $version and was $before"
    elif was set-packages "${{package%%:*}}"; then
        echo "package $package"
    fi
done
while read -r state kind path top; do
    if test "$state" = missing; then
        if test -e "$path" || test -L "$path"; then echo "$kind $path"; fi
    elif test "$state" = empty; then
        test -z "$(ls -A "$path" 2> /dev/null)" || echo "$kind in $path"
    elif test "$kind" = file; then
        saved=$record/files$path
        if test -L "$saved"; then
            test "$(readlink "$saved")" = "$(readlink "$path" 2> /dev/null)" || echo "file $path, which is another"
        else
            cmp -s "$saved" "$path" || echo "file $path, which is another"
        fi
    elif test "$kind" = tree; then
        diff -rq "$record/files$path" "$path" > /dev/null 2>&1 || echo "directory $path, which is another"
    fi
done < "$record/claims"
systemctl --root=/ list-unit-files --no-legend --no-pager 'iecpod-*' | awk '{{ print "unit " $1 }}' |
    grep -v iecpod-restore
for name in $(list_interfaces); do
    was interfaces "$name" && continue
    case $name in {_CNI_DEVICES}|kube-*|docker0) echo "interface $name" ;; esac
done
for name in $(list_namespaces); do
    case $name in cni-*) was namespaces "$name" || echo "network namespace $name" ;; esac
done
list_rules | grep -E '{_RULES}' | while read -r rule; do
    was rules "$rule" || {{ echo "rules of iptables"; break; }}
done
while IFS="$(printf '\\t')" read -r name value; do
    test -r "/proc/sys/$name" || continue
    test "$(cat "/proc/sys/$name" 2> /dev/null)" = "$value" || echo "sysctl $name"
done < "$record/sysctls"
while read -r device; do
    list_swaps | grep -qxF -- "$device" || echo "swap $device, which is off"
done < "$record/swaps"
grep -q '^# iecpod: begin' /etc/hosts && echo 'lines of /etc/hosts'
grep -q '^#iecpod-swap# ' /etc/fstab 2> /dev/null && echo 'lines of /etc/fstab'
exit 0
"""

#: The POD's key first: without a record, it would not be known.
FORGET = f"""{_HEADER}
for key in "$record"/key-*; do
    test -e "$key" || continue
    user=$(sed -n 1p "$key") file=$(sed -n 2p "$key") state=$(sed -n 3p "$key")
    runuser -u "$user" -- sh -uc '
    umask 077
    if test -e "$1"; then
        grep -vxF -- "$3" "$1" > "$1.iecpod"
        cat "$1.iecpod" > "$1"
        rm "$1.iecpod"
        test "$2" = there || test -s "$1" || rm "$1"
    fi
    test "$2" != directory || rmdir "${{1%/*}}" 2> /dev/null || true
    ' forget-key "$file" "$state" "$(sed -n 4p "$key")" || exit 1
done
mv -T "$record" "$record.gone" && rm -rf "$record.gone" "$record".new.*
rmdir "${{record%/*}}" 2> /dev/null
exit 0
"""
