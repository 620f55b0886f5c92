"""Whom guests run as, what is in their way, and what their daemons see in place of the host's files."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
from pathlib import Path

import pytest

from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.errors import HypervisorUnavailable
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.options.choices import VirtType
from iecpod.providers.libvirt import qemu_account
from iecpod.providers.libvirt.embedded.private_mounts import PrivateMounts
from iecpod.providers.libvirt.plan.preflight import kvm_is_barred
from iecpod.providers.libvirt.qemu_account import Account, find_account, open_up
from tests.fakes import FACTS
from tests.fakes.pod_tools import FakeTools
from tests.unit.commands.test_commands import layout, resolve

__all__ = ["layout"]

ADDED = Account(64055, 64055)


def no_account(_name: object) -> object:
    raise KeyError("unknown")


def test_the_hosts_own_account_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: pwd.struct_passwd(("x", "x", 107, 112, "", "/", "/x")))
    monkeypatch.setattr(grp, "getgrnam", lambda _name: grp.struct_group(("x", "x", 113, [])))
    account = find_account()
    assert account == Account(107, 113)
    assert account.write_files(tmp_path) == {} and list(tmp_path.iterdir()) == []


def test_of_an_account_without_its_package_what_ubuntus_libvirt_asks_for_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = {"libvirt-qemu": (107, 112), "dnsmasq": (110, 65534)}

    def find_user(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", *users[name], "", "/", "/x"))

    monkeypatch.setattr(pwd, "getpwnam", find_user)
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", {"libvirt-qemu": 113}[name], [])))
    assert find_account() == Account(
        107,
        113,
        {
            "/etc/passwd": "libvirt-dnsmasq:x:110:65534::/nonexistent:/usr/sbin/nologin\n",
            "/etc/group": "kvm:x:113:\n",
        },
    )


def test_an_account_is_added_for_the_daemons_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, names in ((pwd, ("getpwnam", "getpwuid")), (grp, ("getgrnam", "getgrgid"))):
        for name in names:
            monkeypatch.setattr(module, name, no_account)
    account = find_account()
    assert (account.uid, account.gid) == (64055, 64055)
    files = account.write_files(tmp_path)
    assert files["/etc/passwd"].read_text() == (
        Path("/etc/passwd").read_text() + "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n"
        "libvirt-dnsmasq:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
    )
    assert files["/etc/group"].read_text().endswith("\nlibvirt-qemu:x:64055:\nkvm:x:64055:\n")


def test_the_number_of_somebody_else_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", no_account)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: pwd.struct_passwd(("jenkins", "x", 64055, 1, "", "/", "/x")))
    monkeypatch.setattr(grp, "getgrgid", no_account)
    with pytest.raises(HypervisorUnavailable, match="its number 64055 is that of user jenkins") as caught:
        find_account()
    assert "adduser --system --group" in caught.value.remedy


def test_barriers_are_the_first_closed_directories_on_the_way(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    for name, mode in (("open", 0o711), ("closed", 0o700), ("group", 0o750)):
        (tmp_path / name / "a" / "b").mkdir(parents=True)
        (tmp_path / name).chmod(mode)
    (tmp_path / "closed" / "a").chmod(0o700)
    (tmp_path / "open" / "a" / "b").chmod(0o700)
    above = ADDED.find_barriers([tmp_path])
    paths = [tmp_path / name / "a" / "b" for name in ("open", "closed", "group")]
    found = ADDED.find_barriers([*paths, tmp_path / "closed" / "a"])
    assert found == (above or [tmp_path / "closed", tmp_path / "group"])


def test_a_directory_is_passed_by_its_owner_and_group(tmp_path: Path) -> None:
    tmp_path.chmod(0o710)
    status = tmp_path.stat()
    mine = Account(status.st_uid, 1)
    assert mine.may_pass(tmp_path) and Account(1, status.st_gid).may_pass(tmp_path)
    assert not ADDED.may_pass(tmp_path)
    open_up(tmp_path)
    assert ADDED.may_pass(tmp_path) and tmp_path.stat().st_mode & 0o777 == 0o711


def test_only_plain_files_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "chown", lambda path, *ids, follow_symlinks: given.append((path, *ids, follow_symlinks)))
    (tmp_path / "disk").touch()
    (tmp_path / "link").symlink_to("/etc/shadow")
    (tmp_path / "directory").mkdir()
    ADDED.give_files(tmp_path, tmp_path / "missing")
    assert given == [(tmp_path / "disk", 64055, 64055, False)]


def test_a_file_system_without_owners_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(HypervisorUnavailable, match=r"the owner of .* to libvirt-qemu, the account of") as caught:
        ADDED.give(tmp_path)
    assert "-S" in caught.value.remedy


def test_names_with_spaces_and_quotes_are_mounted_as_they_are(tmp_path: Path) -> None:
    odd = tmp_path / "my 'lab'; $(id)"
    mounts = PrivateMounts(
        over={"/run/libvirt": odd / "run"}, needed=(odd / "pod",), barriers=(odd,), kvm=None, kvm_owner="1:1"
    )
    *_, script, _name, _daemon = mounts.argv(["true"])
    quoted = "'" + str(odd).replace("'", "'\"'\"'")
    assert f"mount --bind {quoted}/run' /run/libvirt" in script
    assert f"mount -t tmpfs -o mode=0711,size=64k tmpfs {quoted}'" in script
    assert "mknod" not in script


def test_what_is_not_behind_a_barrier_is_left_where_it_is() -> None:
    needed = (Path("/srv/cache"), Path("/root/lab/pod"))
    mounts = PrivateMounts(over={}, needed=needed, barriers=(Path("/root"),), kvm=(10, 232), kvm_owner="5:6")
    script = mounts.argv([])[6]
    assert "/srv/cache" not in script and "mknod -m 0600 /run/libvirt/iecpod/kvm c 10 232" in script


def test_kvm_that_qemu_may_not_use_is_reported(layout: Layout, tmp_path: Path) -> None:
    facts = dataclasses.replace(FACTS, qemu_user="libvirt-qemu (uid 64055)", has_kvm_device=True)
    assert kvm_is_barred(facts, Arch.X86_64) and not kvm_is_barred(facts, Arch.AARCH64)
    assert not kvm_is_barred(FACTS, Arch.X86_64)
    usable = {Arch.X86_64: dataclasses.replace(facts.emulators[Arch.X86_64], kvm=True)}
    assert not kvm_is_barred(dataclasses.replace(facts, emulators=usable), Arch.X86_64)

    tools = FakeTools(tmp_path, layout, facts=facts)
    wanted = make_pod_plan(resolve(layout, virt_type=VirtType.KVM), tools)
    assert [problem.rule for problem in wanted.problems] == ["kvm-not-accessible"]
    inputs = resolve(layout)
    result = make_pod_plan(inputs, tools)
    assert result.problems == () and "QEMU          runs as libvirt-qemu (uid 64055)" in plan_text(inputs, result)
    assert any("cannot use /dev/kvm: guests are emulated" in line for line in tools.reporter.lines)


def test_a_hypervisor_of_the_hosts_own_says_nothing_of_qemu(layout: Layout, tmp_path: Path) -> None:
    inputs = resolve(layout)
    assert "\nQEMU " not in plan_text(inputs, make_pod_plan(inputs, FakeTools(tmp_path, layout)))


def test_the_kvm_device_is_known_by_its_numbers() -> None:
    found = qemu_account.find_kvm()
    assert found == ((10, 232) if Path("/dev/kvm").exists() else None)
