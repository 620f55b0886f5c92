"""States of a real guest, which is in its firmware: saved with a new overlay, and loaded again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iecpod.cache.qcow2 import find_chain, virtual_size_bytes
from iecpod.errors import HostError
from iecpod.naming import pool_name
from iecpod.providers.libvirt.checkpoint.guard import resumed_if_killed
from iecpod.providers.libvirt.checkpoint.memory_file import compress_memory, decompressed_memory
from iecpod.providers.libvirt.connection.hypervisor import LibvirtHypervisor
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.objects import Kind, ObservedResource, Resource
from iecpod.providers.libvirt.xml import pool_resource, render_volume, resource_of
from tests import pods
from tests.contract.hypervisors import why_not_embedded

_POOL = pool_name(pods.REF)
_SIZE = 1 << 26


@dataclass
class Guest:
    """`cache` has the layers."""

    directory: Path
    cache: Path
    host: EmbeddedHost
    hypervisor: LibvirtHypervisor

    @property
    def name(self) -> str:
        return self._resource.name

    @property
    def _resource(self) -> Resource:
        return resource_of(pods.domain(directory=self.directory), pods.STAMP, {"seed": "text"})

    @property
    def base(self) -> Path:
        return self.cache / "base.qcow2"

    @property
    def seen(self) -> ObservedResource:
        return next(seen for seen in self.hypervisor.observe() if seen.kind is Kind.DOMAIN)

    @property
    def disk(self) -> Path:
        return Path(self.seen.disks[0])

    def define(self, layer: Path) -> None:
        for resource in (
            resource_of(pods.admin_network(), pods.STAMP),
            resource_of(pods.private_network(), pods.STAMP),
            pool_resource(pods.REF, str(self.directory / "pool")),
        ):
            self.hypervisor.define(resource)
        self.hypervisor.create_volume(_POOL, render_volume("iec01.qcow2", _SIZE, str(layer), "qcow2"))
        self.hypervisor.upload_volume(_POOL, "iec01-seed.iso", b"seed" * 512)
        self.hypervisor.define(self._resource)

    def save(self, label: str) -> tuple[Path, Path]:
        """Layer and memory."""
        layer, memory = self.cache / f"{label}.qcow2", self.cache / f"memory-{label}"
        os.link(self.disk, layer)
        self.hypervisor.create_volume(_POOL, render_volume(f"iec01-{label}.qcow2", _SIZE, str(layer), "qcow2"))
        self.hypervisor.pause(self.name)
        overlay = self.directory / "pool" / f"iec01-{label}.qcow2"
        self.hypervisor.save_state(self.name, str(overlay), str(memory))
        assert self.seen.paused, "whoever paused it resumes it"
        self.hypervisor.start(Kind.DOMAIN, self.name)
        self.hypervisor.seal(layer)
        return layer, memory

    def remove(self) -> None:
        for kind in (Kind.DOMAIN, Kind.POOL):
            for seen in self.hypervisor.observe():
                if seen.kind is kind:
                    self.hypervisor.remove(seen)


@pytest.fixture
def guest(tmp_path: Path, capabilities_cache: Path) -> Iterator[Guest]:
    if why_not_embedded():
        pytest.skip(why_not_embedded())
    directory, cache = tmp_path / "pod", tmp_path / "cache"
    for made in (directory / "nvram", directory / "console", cache):
        made.mkdir(parents=True)
        made.chmod(0o711)
    host = EmbeddedHost(
        directory, pods.owner(pods.REF, directory), capabilities_cache=capabilities_cache, shared=(cache,)
    )
    host.start()
    try:
        made_guest = Guest(directory, cache, host, host.connect())
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(made_guest.base), str(_SIZE)], check=True)
        made_guest.base.chmod(0o444)
        made_guest.define(made_guest.base)
        made_guest.hypervisor.start(Kind.DOMAIN, made_guest.name)
        yield made_guest
        made_guest.hypervisor.close()
    finally:
        host.stop()
    assert host.leftovers() == ()


def test_a_guest_goes_over_to_its_new_disk_and_starts_from_it_again(guest: Guest) -> None:
    layer, memory = guest.save("one")
    assert guest.seen.active and guest.disk.name == "iec01-one.qcow2"
    assert list(find_chain(guest.disk)) == [layer, guest.base]
    assert virtual_size_bytes(guest.disk) == _SIZE
    status = layer.stat()
    assert (status.st_uid, status.st_mode & 0o777, status.st_nlink) == (0, 0o440, 2)
    assert memory.stat().st_size > 1 << 20
    guest.hypervisor.stop(guest.name)
    guest.hypervisor.start(Kind.DOMAIN, guest.name)
    assert guest.seen.active and guest.seen.mark is not None


def test_two_saves_are_two_layers_until_they_are_merged(guest: Guest) -> None:
    first, _memory = guest.save("one")
    second, _memory = guest.save("two")
    assert list(find_chain(guest.disk)) == [second, first, guest.base]
    guest.hypervisor.pull(guest.name, str(guest.base))
    assert list(find_chain(guest.disk)) == [guest.base]
    assert guest.seen.active


@pytest.mark.parametrize("saved_last", [False, True])
def test_what_was_saved_runs_again_after_everything_else_is_gone(guest: Guest, saved_last: bool) -> None:
    saves = [guest.save("one"), guest.save("two")]
    nvram = guest.cache / "nvram"
    shutil.copyfile(guest.seen.files[0], nvram)
    guest.remove()
    layer, memory = saves[saved_last]
    guest.define(layer)
    guest.hypervisor.place_nvram(nvram, Path(guest.seen.files[0]))
    compress_memory(memory)
    pipe = guest.cache / "pipe"
    with decompressed_memory(memory, pipe):
        guest.hypervisor.load_state(guest.name, str(pipe))
    assert guest.seen.paused and not pipe.exists()
    guest.hypervisor.start(Kind.DOMAIN, guest.name)
    assert guest.seen.active and guest.seen.mark is not None
    assert next(find_chain(guest.disk)) == layer


def test_memory_that_is_none_leaves_a_domain_that_starts(guest: Guest) -> None:
    layer, memory = guest.save("one")
    guest.remove()
    guest.define(layer)
    memory.write_bytes(b"LibvirtQemudSave" + b"\xff" * 4096)
    with pytest.raises(HostError):
        guest.hypervisor.load_state(guest.name, str(memory))
    assert not guest.seen.active and not guest.seen.paused
    guest.hypervisor.start(Kind.DOMAIN, guest.name)
    assert guest.seen.active


def test_memory_that_ends_early_is_an_error(guest: Guest) -> None:
    layer, memory = guest.save("one")
    guest.remove()
    guest.define(layer)
    compress_memory(memory)
    os.truncate(memory, memory.stat().st_size // 2)
    pipe = guest.cache / "pipe"
    with pytest.raises(HostError), decompressed_memory(memory, pipe):
        guest.hypervisor.load_state(guest.name, str(pipe))
    assert not guest.seen.active and not pipe.exists()


def test_a_guest_that_is_off_is_saved_without_memory(guest: Guest) -> None:
    guest.hypervisor.stop(guest.name)
    layer = guest.cache / "off.qcow2"
    os.link(guest.disk, layer)
    guest.hypervisor.create_volume(_POOL, render_volume("iec01-off.qcow2", _SIZE, str(layer), "qcow2"))
    guest.hypervisor.save_state(guest.name, str(guest.directory / "pool/iec01-off.qcow2"), None)
    assert guest.disk.name == "iec01-off.qcow2" and not guest.seen.active


def test_a_paused_guest_is_resumed_when_whoever_paused_it_is_killed(guest: Guest) -> None:
    child = os.fork()
    if child == 0:
        with resumed_if_killed(guest.host.uri, [guest.name]):
            os.kill(os.getpid(), 9)
    guest.hypervisor.pause(guest.name)
    os.waitpid(child, 0)
    for _ in range(600):
        if guest.seen.active:
            break
        guest.host._clock.sleep(0.1)
    assert guest.seen.active
