"""A POD on a hypervisor in memory whose disks and UEFI variables are files, so that checkpoints can be made of it."""

from __future__ import annotations

import re
import struct
import time
from pathlib import Path

from iecpod.checkpoints.checkpoint_store import CheckpointStore
from iecpod.commands.checkpoint.restore import restore_checkpoint
from iecpod.commands.checkpoint.save import SavedCheckpoint, save_checkpoint
from iecpod.commands.deploy import deploy
from iecpod.deploy.node.guest_instant import LOOK, SETTLE
from iecpod.design.cluster import DesiredCluster
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.options.choices import BundleVia
from iecpod.pods.directory import REPORT
from iecpod.pods.ports import FindCredentials
from iecpod.ports import BaseImage, CommandResult, Shell, WayIn
from iecpod.providers.libvirt.objects import Kind, ObservedResource
from iecpod.release.release import Release
from iecpod.reports.run_report import Report
from tests import pods
from tests.fakes import FakeHost, FakeHypervisor
from tests.fakes.api_server import FakeApiServer
from tests.fakes.images import FakeImages
from tests.fakes.pod_tools import NODES, REF, FakeTools, api_objects
from tests.unit.commands.test_commands import resolve

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")


def write_qcow2(path: Path, size: int, backing: str) -> None:
    name = backing.encode()
    offset = 4096 if name else 0
    header = _HEADER.pack(b"QFI\xfb", 2, offset, len(name), 16, size, 0, 1, 0, 0, 0, 0, 0)
    path.write_bytes(header.ljust(4096, b"\0") + name)


class DiskHypervisor(FakeHypervisor):
    """Writes qcow2 files where its volumes are, and UEFI variables where a domain starts."""

    def create_volume(self, pool: str, xml: str) -> None:
        super().create_volume(pool, xml)
        name, size, backing = (
            re.findall(pattern, xml)[0]
            for pattern in ("<name>(.*?)</name>", "<capacity .*?>(.*?)</capacity>", "<path>(.*?)</path>")
        )
        directory = next(seen.files[0] for seen in self.observe() if seen.kind is Kind.POOL)
        Path(directory).mkdir(parents=True, exist_ok=True)
        path = Path(directory) / name
        path.unlink(missing_ok=True)
        write_qcow2(path, int(size), backing)

    def start(self, kind: Kind, name: str) -> None:
        super().start(kind, name)
        if kind is Kind.DOMAIN:
            nvram = Path(self._view(self._objects[kind, name]).files[0])
            nvram.parent.mkdir(parents=True, exist_ok=True)
            if not nvram.exists():
                nvram.write_bytes(b"UEFI of " + name.encode())


class CachedImages(FakeImages):
    def __init__(self, cache_dir: Path) -> None:
        self.path = cache_dir / "images" / f"{'0' * 64}.qcow2"

    def find(self, arch: Arch) -> BaseImage:
        return BaseImage(path=self.path, sha256="0" * 64, format="qcow2", virtual_size_bytes=1 << 30)


class CheckpointTools(FakeTools):
    def __init__(self, directory: Path, layout: Layout) -> None:
        super().__init__(directory, layout)
        self.cache_dir = layout.cache_dir
        self.hypervisor = DiskHypervisor(self.owner)
        self.fake_host = FakeHost(self.hypervisor)
        image = CachedImages(self.cache_dir).path
        image.parent.mkdir(parents=True, exist_ok=True)
        write_qcow2(image, 1 << 30, "")
        self.seconds_off = 0.0
        for shell in self.node_shells.values():
            shell.reply(("sh", "-c", LOOK), lambda _argv, _stdin: CommandResult(0, f"{time.time():.9f}\n", ""))
            shell.on("sh", "-c", SETTLE)

    def api_server(
        self, cluster: DesiredCluster, way: WayIn, first: Shell, find_credentials: FindCredentials | None
    ) -> FakeApiServer:
        """It has what kubectl shows on the first node; kubelets answer by clocks that are `seconds_off`."""
        server = FakeApiServer(api_objects())
        server.clocks = {hostname: time.time() + self.seconds_off for hostname in NODES}
        return server

    def images(self, release: Release, bundle_via: BundleVia | None) -> FakeImages:
        return CachedImages(self.cache_dir)


class CheckpointPod:
    """`domains` are as the hypervisor shows them."""

    def __init__(self, directory: Path, layout: Layout) -> None:
        self.layout = layout
        self.tools = CheckpointTools(directory, layout)
        self.store = CheckpointStore(layout.cache_dir)
        self.reports: list[Report] = []

    def deploy(self, **options: object) -> None:
        assert deploy(resolve(self.layout, **options), self.tools, self.keep_report).outcome == "done"

    def keep_report(self, report: Report) -> None:
        self.reports.append(report)
        (self.tools.pod_dir / REPORT).write_text(report.to_json())

    def save(self, name: str = "", **options: object) -> SavedCheckpoint:
        return save_checkpoint(resolve(self.layout, **options), self.tools, self.store, pods.INSTALLATION, name)

    def restore(self, saved: SavedCheckpoint, *, may_replace: bool = False, **options: object) -> Report:
        inputs = resolve(self.layout, **options)
        return restore_checkpoint(
            inputs, self.tools, self.store, saved.checkpoint, self.keep_report, may_replace=may_replace
        )

    def disk(self, node: str) -> Path:
        return Path(self._domain(node).disks[0])

    def states(self) -> dict[str, bool]:
        return {node: self._domain(node).active for node in NODES}

    def _domain(self, node: str) -> ObservedResource:
        name = f"{REF.lab}-{REF.pod}-{node}"
        return next(seen for seen in self.tools.hypervisor.observe() if seen.name == name)
