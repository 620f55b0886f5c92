"""Upstream's end-to-end tests as a program of this host, by what they printed and reported once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from iecpod.conformance.on_host import E2ePrograms
from iecpod.ports import LongProgram, ProgramEnd
from iecpod.release.release import Release

#: What the tests printed and reported.
RECORDED = Path(__file__).parents[1] / "unit/recorded/e2e"
KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
NAMESPACES = "--raw=/api/v1/namespaces?labelSelector=e2e-run"
IMAGES = ("agnhost:2.66.1", "agnhost:2.55", "busybox:1.37.0-2", "glibc-dns-testing:2.1.1")


class FakeBench:
    """Tests that were recorded, as `RECORDED/NAME.log` and `.xml`; an empty name leaves no report."""

    def __init__(self, recorded: str, end: ProgramEnd = ProgramEnd.ENDED, dry: str = "dry-run") -> None:
        self.recorded = recorded
        self.end = end
        self.dry = dry
        self.compiled: list[str] = []
        self.calls: list[tuple[list[str], Mapping[str, str]]] = []
        self.seconds: list[float] = []
        self.images = "".join(f"registry.iecpod.internal/{image}\n" for image in (*IMAGES, "nginx:1.27.0-2"))

    def programs(self, release: Release) -> E2ePrograms:
        self.compiled.append(release.name)
        return E2ePrograms(tests=Path("/cache/e2e.test"), kubectl=Path("/cache/kubernetes"), version="1.37.2")

    def run(self, program: LongProgram, look: Callable[[bytes], None]) -> ProgramEnd:
        argv, log_path = program.argv, program.log_path
        self.calls.append((list(argv), program.environment))
        self.seconds.append(program.seconds)
        results = program.directory / "results"
        if "--list-images" in argv:
            log_path.write_text(self.images)
            return ProgramEnd.ENDED
        if "--ginkgo.dry-run" in argv:
            log_path.write_text("panic: regexp: Compile(`(`): error parsing regexp: missing closing )\n\ngoroutine 5\n")
            if self.dry:
                (results / "junit_01.xml").write_bytes((RECORDED / f"{self.dry}.xml").read_bytes())
            return ProgramEnd.ENDED
        content = (RECORDED / f"{self.recorded}.log").read_bytes() if self.recorded else b"nsenter: cannot open\n"
        log_path.write_bytes(content)
        look(content)
        if self.recorded:
            (results / "junit_01.xml").write_bytes((RECORDED / f"{self.recorded}.xml").read_bytes())
        return self.end
