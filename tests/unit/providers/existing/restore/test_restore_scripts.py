"""Steps of a teardown, with programs that only say what they were asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

from iecpod.providers.existing.node_facts import RECORD_DIR
from iecpod.providers.existing.restore.restore_scripts import KERNEL, STOP
from iecpod.providers.existing.restore.traces import DEPENDENCIES

_PACKAGES = """kubelet\\tlibc6 (>= 2.3)\\, conntrack\\, \\ticontainer
conntrack\\t\\, libnetfilter:any | other-filter\\, suggested-tool\\t
netfilter-impl\\t\\, \\, \\tlibnetfilter (= 1)
libc6\\t\\, \\, \\t
vim\\t\\, libgpm\\, \\t
libgpm\\t\\, \\, \\t
""".replace("\\,", ",")


def _run(tmp_path: Path, script: str, **programs: str) -> str:
    for name, text in programs.items():
        path = tmp_path / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    argv = ["sh", "-uc", f"PATH={tmp_path}:$PATH\n{script}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_packages_of_the_deploy_need_is_found(tmp_path: Path) -> None:
    """By names and by what others provide; what somebody else's packages need is not among it."""
    script = f"chosen() {{ echo kubelet; }}\n{DEPENDENCIES}\nlist_dependencies"
    found = _run(tmp_path, script, dpkg_query=f"printf '{_PACKAGES}'")
    assert set(found.split()) == {"kubelet", "libc6", "conntrack", "netfilter-impl"}


def test_swaps_return_with_their_priorities(tmp_path: Path) -> None:
    """One that is on with another priority is switched off first; those of the kernel's go by their order."""
    record = tmp_path / "record"
    record.mkdir()
    for name, text in (
        ("owner", ""),
        ("packages", ""),
        ("enabled", ""),
        ("active", ""),
        ("sysctls", ""),
        ("swaps", "/swap3 -3\n/swap2 -2\n/swap5 5\n/swap7 7\n/swap9 9\n/old\n"),
    ):
        (record / name).write_text(text)
    end = "unload_modules\nwhile IFS"
    assert KERNEL.count(end) == 1
    node = "list_swaps() { printf '/swap5 1\\n/swap9 9\\n'; }\nunload_modules() { :; }\nPATH=" + f"{tmp_path}:$PATH\n"
    script = KERNEL.replace(end, node + end).replace(RECORD_DIR, str(record))
    said = _run(tmp_path, script, swapon='echo "on $*"', swapoff='echo "off $*"', systemctl="exit 1")
    assert said.splitlines() == [
        *("on --priority 7 /swap7", "off /swap5", "on --priority 5 /swap5"),
        *("on /old", "on /swap2", "on /swap3"),
    ]


def test_units_that_were_there_before_stay(tmp_path: Path) -> None:
    """A machine that iecpod made for another POD has units of its image."""
    record = tmp_path / "record"
    record.mkdir()
    for name, text in (("owner", ""), ("packages", "containerd 2\n"), ("enabled", "iecpod-old.service enabled\n")):
        (record / name).write_text(text)
    units = (
        "iecpod-old.service enabled enabled\\niecpod-new.service enabled enabled\\niecpod-restore-x.service static -"
    )
    program = f"""case "$*" in
        *list-unit-files*) printf '{units}\\n' ;;
        disable*) echo "$*" >> {tmp_path}/said ;;
    esac"""
    begin = "\nlist_own_units() {"
    assert STOP.count(begin) == 1
    script = STOP.replace(begin, f"\nPATH={tmp_path}:$PATH{begin}").replace(RECORD_DIR, str(record))
    _run(tmp_path, script, systemctl=program, find="exit 0")
    said = (tmp_path / "said").read_text().splitlines()
    assert [line.split()[-1] for line in said] == ["kubelet.service", "iecpod-new.service"]
