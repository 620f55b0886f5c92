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
from iecpod.providers.existing.restore.observation import OBSERVE, OBSERVED

FOREIGN = 3

_SECONDS = 300.0

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
    for what in {" ".join(OBSERVED)}; do
        "list_$what" > "$new/$what" || {{ echo "its $what are not known" >&2; exit 1; }}
    done
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
        "cri": changes.cri_socket,
    }
    pairs = [word for pair in values.items() for word in pair]
    shell.run(["sh", "-c", _SET, "set", *pairs], timeout_seconds=_SECONDS)


def add_key(shell: Shell, user: str, line: str) -> None:
    """The POD's public key into the user's authorized_keys."""
    shell.run(["sh", "-c", _ADD_KEY, "add-key", user, line], timeout_seconds=_SECONDS)
