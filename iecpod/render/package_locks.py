"""Locks of dpkg and apt on a node: unattended upgrades may hold them for minutes, and end by themselves."""

from __future__ import annotations

#: An upgrade of many packages on a slow machine. `DPkg::Lock::Timeout` of apt says the same of dpkg's locks alone.
LOCK_SECONDS = 900

#: Shell: a function that runs a command again for as long as it fails because another process has a lock. The words
#: are those of dpkg and apt. dpkg has no option for this, and apt's is not for the lock of the package lists.
UNTIL_UNLOCKED = f"""
until_unlocked() {{
    lock_seconds={LOCK_SECONDS}
    lock_errors=$(mktemp)
    while true; do
        lock_status=0
        "$@" 2> "$lock_errors" || lock_status=$?
        cat "$lock_errors" >&2
        test "$lock_status" -ne 0 && test "$lock_seconds" -gt 0 &&
            grep -qE 'locked by another process|Could not get lock|Unable to lock|Unable to acquire the dpkg' \\
                "$lock_errors" || break
        lock_seconds=$((lock_seconds - 10))
        sleep 10
    done
    rm -f "$lock_errors"
    return "$lock_status"
}}
"""

#: Shell: dpkg that waits, under its own name.
WAITING_DPKG = UNTIL_UNLOCKED + 'dpkg() { until_unlocked command dpkg "$@"; }\n'
