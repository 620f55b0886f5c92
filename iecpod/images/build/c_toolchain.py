"""What a Go program with cgo is linked against: this host's C compiler, and C libraries of the guests' distribution."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.apt import AptRoot
from iecpod.images.build.rootfs import image_archives
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.release.go_source import GoModule
from iecpod.release.release import ImageSource

#: What GNU calls the architectures, in names of compilers and directories.
_TRIPLETS = {Arch.X86_64: "x86_64-linux-gnu", Arch.AARCH64: "aarch64-linux-gnu"}


@dataclass(frozen=True, slots=True)
class CToolchain:
    """Static libraries are taken from the packages of `image`'s suite; nothing of them is installed on this host."""

    cache: Cache
    image: ImageSource
    apt_mirror: str = ""

    def environment(self, module: GoModule, arch: Arch) -> dict[str, str]:
        """Variables for `go build`. Raises `ImageError` where there is no compiler for that architecture."""
        triplet = _TRIPLETS[arch]
        compiler = f"{triplet}-gcc"
        if shutil.which(compiler) is None:
            raise ImageError(
                f"{module.name} is compiled with C parts, and this machine has no {compiler}",
                f"install the package gcc-{triplet.replace('_', '-')}; bootstrap.sh does",
            )
        root = self._ensure_libraries(module, arch) / "root"
        return {
            "CGO_ENABLED": "1",
            "CC": compiler,
            "CGO_CFLAGS": f"-O2 -I{root}/usr/include",
            "CGO_LDFLAGS": f"-L{root}/usr/lib/{triplet}",
            "PKG_CONFIG_LIBDIR": f"{root}/usr/lib/{triplet}/pkgconfig",
            "PKG_CONFIG_SYSROOT_DIR": str(root),
        }

    def _ensure_libraries(self, module: GoModule, arch: Arch) -> Path:
        def make(directory: Path) -> Mapping[str, Any]:
            log_path = self.cache.log_path(f"c-libraries-{module.name}-{arch.debian}")
            with self.cache.staging("c-libraries") as work:
                apt = AptRoot(work / "apt", arch.debian, log_path)
                apt.prepare(image_archives(self.image, self.apt_mirror), "deb")
                packages = work / "packages"
                packages.mkdir()
                apt.download(module.libraries, packages)
                for package in sorted(packages.glob("*.deb")):
                    unpack = ["dpkg-deb", "--extract", str(package), str(directory / "root")]
                    run_tool(unpack, purpose=f"unpacking {package.name}", log_path=log_path)
            return {}

        recipe = {**c_recipe(self.image, module), "arch": arch.debian}
        return self.cache.ensure("c-libraries", recipe, make, f"fetching {', '.join(module.libraries)}").path


def c_recipe(image: ImageSource, module: GoModule) -> dict[str, Any]:
    """What decides the C parts of a program; the compiler is this host's."""
    return {"version": 1, "suite": image.suite, "libraries": list(module.libraries)}
