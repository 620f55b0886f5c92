"""Shell: what differs on a node from its record, a line each.

A line names what teardown has left; one that begins with `STAYS` names what is no fault: what others have added, and
what the kernel keeps until a reboot.
"""

from __future__ import annotations

from iecpod.providers.existing.restore.observation import OBSERVED
from iecpod.providers.existing.restore.traces import (
    CNI_DEVICES,
    HEADER,
    IPSETS,
    LASTING_DEVICES,
    NEW_PACKAGES,
    OUR_RULES,
    SHARED_DEVICES,
    UNITS,
    UNLOAD,
)

STAYS = "stays: "
#: The last line, so that an answer that was cut short does not pass for one without differences.
COMPARED = "compared"

#: `gone` and `added` print lines of a list. What could not be looked at, or was not recorded by an earlier version, has
#: neither. Rules get their program and table before them; policies that let everything pass are those of no table.
_LISTS = f"""
now=$(mktemp -d /run/iecpod-compare.XXXXXXXX)
trap 'rm -rf "$now"' EXIT
stays() {{ printf '%s\\n' "{STAYS}$*"; }}
flat_rules() {{
    awk '/^# / {{ program = $2; next }}
        /^[*]/ {{ table = substr($0, 2); next }}
        /^COMMIT/ || /^:[^ ]+ ACCEPT / {{ next }}
        {{ print program, table, $0 }}' "$1"
}}
for what in {" ".join(OBSERVED)}; do
    test -e "$record/$what" || continue
    "list_$what" > "$now/$what" || "list_$what" > "$now/$what" ||
        {{ rm "$now/$what"; echo "its $what, which are unknown: the node does not list them"; }}
done
for which in record now; do
    eval "from=\\$$which"
    test ! -e "$from/rules" || flat_rules "$from/rules" > "$now/rules-of-$which"
done
pair() {{
    case $1 in
    rules) before=$now/rules-of-record after=$now/rules-of-now ;;
    *) before=$record/$1 after=$now/$1 ;;
    esac
    test -e "$before" && test -e "$after"
}}
gone() {{ ! pair "$1" || grep -vxF -f "$after" "$before"; }}
added() {{ ! pair "$1" || grep -vxF -f "$before" "$after"; }}
"""

_PACKAGES = """
automatic=" $(echo $(list_new_dependencies)) "
if pair packages; then
    awk 'FILENAME == ARGV[1] { before[$1] = $2; next }
        !($1 in before) { print "new", $1, $2; next }
        before[$1] != $2 { print "changed", $1, $2, before[$1] }
        { delete before[$1] }
        END { for (package in before) print "gone", package }' "$before" "$after"
fi | while read -r how package version former; do
    name=${package%%:*}
    case $how in
    gone) echo "package $package, which is missing" ;;
    changed)
        changed="package $package, which is $version and was $former"
        if was set-packages "$name"; then echo "$changed"; else stays "$changed"; fi ;;
    *)
        if was set-packages "$name"; then echo "package $package"
        else case $automatic in
            *" $package "*)
                if is_removable "$package"; then echo "package $package"
                else stays "package $package, which a package needs that others have installed"; fi ;;
            *) stays "package $package, which others have installed" ;;
            esac
        fi ;;
    esac
done
gone holds | while read -r package; do echo "package $package, which is not held any more"; done
added holds | while read -r package; do
    case $package in
    kubeadm|kubelet|kubectl) echo "package $package, which is held" ;;
    *) if was set-packages "${package%%:*}"; then echo "package $package, which is held"
        else stays "package $package, which others hold"; fi ;;
    esac
done
"""

_CLAIMS = """
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
for file in hosts fstab; do
    gone "$file" | awk 'NF' | while read -r line; do echo "line of /etc/$file, which is missing: $line"; done
    added "$file" | awk 'NF' | while read -r line; do
        case $line in
        '# iecpod: '*|'#iecpod-swap# '*) echo "line of /etc/$file: $line" ;;
        *) stays "line of /etc/$file, which others have added: $line" ;;
        esac
    done
done
"""

#: Of the units that are active, those that others started are not worth a line: sessions and timers come and go.
_UNITS = f"""
systemctl --root=/ list-unit-files --no-legend --no-pager 'iecpod-*' | while read -r unit rest; do
    case $unit in iecpod-restore*) ;; *) was enabled "$unit enabled" || echo "unit $unit" ;; esac
done
gone enabled | while read -r unit state; do echo "unit $unit, which is not $state any more"; done
added enabled | while read -r unit state; do
    case $unit in
    {UNITS}) echo "unit $unit, which is $state" ;;
    *) if was set-masked "$unit"; then echo "unit $unit, which is $state"
        else stays "unit $unit, which others have $state"; fi ;;
    esac
done
gone active | while read -r unit; do
    ! was enabled "$unit enabled" || echo "unit $unit, which is not active any more"
done
added active | while read -r unit; do
    case $unit in iecpod-restore-*) ;; {UNITS}) echo "unit $unit, which is active" ;; esac
done
"""

_KERNEL = """
if pair sysctls; then
    awk -F '\\t' 'FILENAME == ARGV[1] { before[$1] = $2; next }
        $1 in before && before[$1] != $2 { print "sysctl " $1 }' "$before" "$after"
fi
if pair swaps; then
    awk 'FILENAME == ARGV[1] { priority[$1] = $2; next }
        !($1 in priority) { print "swap " $1 ", which is off"; next }
        $2 != "" && priority[$1] != $2 && (priority[$1] >= 0 || $2 >= 0) {
            print "swap " $1 ", whose priority is " priority[$1] " and was " $2
        }' "$after" "$before"
    awk 'FILENAME == ARGV[1] { before[$1] = 1; next } !($1 in before) { print $1 }' "$before" "$after" |
        while read -r device; do stays "swap $device, which others have switched on"; done
fi
unload_modules
list_modules > "$now/modules"
loaded=$(echo $(added modules))
test -z "$loaded" || stays "kernel modules that stay until a reboot, as they are in use or cannot be unloaded: $loaded"
"""

_NETWORK = f"""
gone interfaces | while read -r name; do
    case $name in veth*) ;; *) echo "interface $name, which is missing" ;; esac
done
added interfaces | while read -r name; do
    case $name in
    {CNI_DEVICES}) echo "interface $name" ;;
    {LASTING_DEVICES}) stays "interface $name, which is there as long as its kernel module: until a reboot" ;;
    {SHARED_DEVICES})
        if had_runtime; then stays "interface $name, which others may have made"; else echo "interface $name"; fi ;;
    *) stays "interface $name, which others have made" ;;
    esac
done
gone namespaces | while read -r name; do
    case $name in cni-*) ;; *) echo "network namespace $name, which is missing" ;; esac
done
added namespaces | while read -r name; do
    case $name in
    cni-*) echo "network namespace $name" ;;
    *) stays "network namespace $name, which others have made" ;;
    esac
done
gone routes | while read -r route; do
    case " $route " in
    *' proto kernel '*|*' proto dhcp '*|*' proto ra '*)
        stays "route $route, which is missing: it comes and goes by itself" ;;
    *) echo "route $route, which is missing" ;;
    esac
done
for cidr in $(chosen cidrs); do
    ip -4 route show table all root "$cidr" | sed -E 's/ (linkdown|dead)//g; s/ +$//'
done > "$now/routes-of-pods"
added routes | while read -r route; do
    if grep -qxF -- "$route" "$now/routes-of-pods"; then echo "route $route"
    else stays "route $route, which others have made"; fi
done
gone ipsets | while read -r name; do echo "ipset $name, which is missing"; done
added ipsets | while read -r name; do
    case $name in
    {IPSETS}) echo "ipset $name" ;;
    *) stays "ipset $name, which others have made" ;;
    esac
done
gone rules | while read -r program table rule; do
    echo "rule of $program in table $table, which is missing: $rule"
done
{OUR_RULES}
added rules | while read -r program table rule; do
    case $rule in
    ':'*' DROP '*) echo "policy of $program in table $table: $rule" ;;
    *) if printf '%s\\n' "$rule" | grep -qE -e "$ours"; then echo "rule of $program in table $table: $rule"
        else stays "rule of $program in table $table, which others have made: $rule"; fi ;;
    esac
done
"""

#: Modules come last: the looks at rules and sets load some.
COMPARE = f"{HEADER}{UNLOAD}{NEW_PACKAGES}{_LISTS}{_PACKAGES}{_CLAIMS}{_UNITS}{_NETWORK}{_KERNEL}echo {COMPARED}\n"
