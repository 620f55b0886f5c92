"""Shell for a node that is to be as it was: one script a step. Each may be repeated, and ended anywhere.

All of them read the record, and change only what it or a name shows to be the POD's.
"""

from __future__ import annotations

from iecpod.cni.registry import ALL_TRACES
from iecpod.deploy.phases.runtime import KUBEADM_SAID
from iecpod.providers.existing.restore.traces import (
    CNI_DEVICES,
    DEPENDENCIES,
    HEADER,
    IPSETS,
    LASTING_DEVICES,
    NEW_PACKAGES,
    OUR_RULES,
    SHARED_DEVICES,
    UNLOAD,
)
from iecpod.render.package_locks import WAITING_DPKG

_SECONDS_FOR_RESET = 900

_RUN_DIRECTORIES = [path for path in ALL_TRACES.directories if path.startswith("/run/")]
_CNI_MOUNTS = " ".join([*_RUN_DIRECTORIES, *(f"/var{path}" for path in _RUN_DIRECTORIES)])

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
LEAVE = f"""{HEADER}{_JOB}
systemctl stop iecpod-kubeadm-init.service iecpod-kubeadm-join.service iecpod-packages.service 2> /dev/null
command -v kubeadm > /dev/null || exit 0
test -d /etc/kubernetes || test -d /var/lib/kubelet || exit 0
socket=$(chosen cri | head -n 1)
job reset {_SECONDS_FOR_RESET} kubeadm reset --force ${{socket:+--cri-socket="$socket"}}
"""

# Units are listed from the files, too: a busy systemd may not answer in time, and what is silent is not empty.
# A machine that iecpod made for another POD has units of that name from before.
STOP = f"""{HEADER}
list_own_units() {{
    systemctl list-unit-files --no-legend --no-pager 'iecpod-*' 2> /dev/null
    systemctl --root=/ list-unit-files --no-legend --no-pager 'iecpod-*'
}}
for unit in kubelet.service $(list_own_units | sort -u |
    awk '{{ print $1 }}' | grep -v '^iecpod-restore'); do
    case $unit in iecpod-*) ! was enabled "$unit enabled" || continue ;; esac
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
NETWORK = f"""{HEADER}
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
    {CNI_DEVICES}|{LASTING_DEVICES}|{SHARED_DEVICES})
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
{OUR_RULES}for program in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
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
    for try in 1 2; do  # those that are in another one come second
        for set in $(ipset list -name 2> /dev/null); do
            was ipsets "$set" && continue
            case $set in {IPSETS}) ipset destroy "$set" 2> /dev/null ;; esac
        done
    done
fi
exit 0
"""

#: Of the packages that are new, those that the deploy named, and those that nothing but them needed.
PACKAGES = f"""{HEADER}{_JOB}{WAITING_DPKG}
export DEBIAN_FRONTEND=noninteractive
{NEW_PACKAGES}{DEPENDENCIES}
{{ chosen dependencies; list_dependencies; }} | sort -u > "$record/new-dependencies"
mv "$record/new-dependencies" "$record/set-dependencies"
dpkg --configure --pending --force-confold > /dev/null
new="$(list_new) $(dpkg-query --show --showformat='${{binary:Package}} ${{db:Status-Status}}\\n' |
    awk '$2 == "config-files" {{ print $1 }}')"
purge=
for package in $new; do
    grep -q -F -- "$package " "$record/packages" && continue
    if was set-packages "${{package%%:*}}"; then purge="$purge $package"; fi
done
for package in $(apt-mark showhold); do
    case $package in kubeadm|kubelet|kubectl) ;; *) was set-packages "${{package%%:*}}" || continue ;; esac
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
for try in 1 2 3; do  # apt keeps what another package only recommends or suggests
    purge=
    for package in $(list_new_dependencies); do
        ! is_removable "$package" || purge="$purge $package"
    done
    test -n "$purge" || break
    until_unlocked job purge 900 dpkg --purge $purge
done
exit 0
"""

#: Claims in the reverse order of the list: what was kept goes back, and what was not there goes.
FILES = f"""{HEADER}
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

KERNEL = f"""{HEADER}{UNLOAD}
unload_modules
while IFS="$(printf '\\t')" read -r name value; do
    test -w "/proc/sys/$name" || continue
    test "$(cat "/proc/sys/$name" 2> /dev/null)" = "$value" || printf '%s\\n' "$value" > "/proc/sys/$name"
done < "$record/sysctls" 2> /dev/null
for unit in $(chosen masked); do
    systemctl unmask --quiet "$unit" 2> /dev/null
done
systemctl unset-environment GOMAXPROCS 2> /dev/null
systemctl daemon-reload 2> /dev/null
# By priority: those that the kernel gives (below 0) go down with each. A record of an earlier version has none.
sort -k 2,2nr "$record/swaps" | while read -r device priority; do
    list_swaps | grep -qxF -- "$device $priority" && continue
    on=$(list_swaps | awk -v device="$device" '$1 == device')
    case $priority in
    ''|-*) test -n "$on" || swapon "$device" 2> /dev/null ;;
    *) test -z "$on" || swapoff "$device" 2> /dev/null
        swapon --priority "$priority" "$device" 2> /dev/null ;;
    esac
done
while read -r unit state; do
    case $unit in containerd.service|docker.service|docker.socket|kubelet.service) ;; *) continue ;; esac
    test "$state" = enabled || continue
    systemctl enable --quiet "$unit" 2> /dev/null
    ! was active "$unit" || systemctl restart "$unit" 2> /dev/null
done < "$record/enabled"
for unit in containerd.service docker.service docker.socket; do
    had_runtime || break
    was enabled "$unit enabled" || systemctl disable --quiet "$unit" 2> /dev/null
    was active "$unit" || systemctl stop "$unit" 2> /dev/null
done
exit 0
"""

#: The POD's key first: without a record, it would not be known.
FORGET = f"""{HEADER}
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
