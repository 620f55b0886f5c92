"""Kubernetes compiled from Debian's source package, which is the whole upstream tree with its vendor folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.errors import ImageError
from iecpod.images.build.apt import AptRoot, AptSuite, host_debian_arch
from iecpod.images.build.go.modules import module_files
from iecpod.images.confinement.program import FOR_ONE_PACKAGE, FOR_UNPACKING, of_this_host
from iecpod.images.confinement.tool import run_tool
from iecpod.images.sources import read_source
from iecpod.model import Arch
from iecpod.release.release import ImageSource, KubernetesSource

#: What nodes run from their own file system.
NODE_PROGRAMS = ("kubeadm", "kubelet", "kubectl", "crictl")

#: What nodes run from images.
IMAGE_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")

#: Of our own, compiled along with them: that needs no C compiler for the guest's architecture.
_OWN_PROGRAMS = ("crictl", "pause")

#: By KUBE_STATIC_LIBRARIES of Kubernetes' hack/lib/golang.sh.
_NOT_LISTED_AS_STATIC = ("kubelet", *_OWN_PROGRAMS)

_PROGRAMS = tuple(dict.fromkeys((*NODE_PROGRAMS, *IMAGE_PROGRAMS, *_OWN_PROGRAMS)))

#: Without symbol tables and debugging data the seven programs take 500 MB less.
_LINKER_FLAGS = "-s -w"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: The build date that programs report: equal sources give equal programs.
_SOURCE_DATE = "1610576000"

#: Go writes the paths of sources into programs; at a fixed path they are the same in every build.
_AT_FIXED_PATH = 'mount --bind "$1" /mnt && cd "/mnt/$2" && shift 2 && exec "$@"'


def ensure_kubernetes(
    cache: Cache, image: ImageSource, source: KubernetesSource, version: str, arch: Arch, apt_mirror: str = ""
) -> Artifact:
    """`NODE_PROGRAMS` and `IMAGE_PROGRAMS` of that version, and `pause`, all static. Raises `ImageError`."""

    def make(directory: Path) -> Mapping[str, Any]:
        log_path = cache.log_path(f"kubernetes-{version}-{arch.debian}")
        with cache.staging("compile") as work:
            go_root = _fetch_go(work, image, source, apt_mirror, log_path)
            tree = work / "gopath/src/k8s.io/kubernetes"
            source_version = _fetch_source(work, tree, image, source, version, apt_mirror, log_path)
            _compile(work, tree, go_root, arch, log_path)
            for program in _PROGRAMS:
                (tree / f"_output/local/bin/linux/{arch.debian}/{program}").rename(directory / program)
        return {"source_version": source_version}

    doing = f"compiling Kubernetes {version} for {arch.debian} (5 to 10 minutes)"
    return cache.ensure("kubernetes", kubernetes_recipe(source, version, arch), make, doing)


def kubernetes_recipe(source: KubernetesSource, version: str, arch: Arch) -> dict[str, Any]:
    return {
        "version": 2,
        "kubernetes": version,
        "source": [source.suite, source.package],
        "go": [source.go_suite, *source.go_packages],
        "linker_flags": _LINKER_FLAGS,
        "own": [_own_source(program) for program in _OWN_PROGRAMS],
        "arch": arch.debian,
    }


def _own_source(program: str) -> str:
    return module_files(program)["main.go"] if program == "pause" else read_source(f"{program}.go")


def mirror_of(mirror: str, image: ImageSource, apt_mirror: str) -> str:
    """`apt_mirror` stands in for the release's main mirror wherever that is used."""
    return apt_mirror if apt_mirror and mirror == image.mirror else mirror


def _fetch_go(work: Path, image: ImageSource, source: KubernetesSource, apt_mirror: str, log_path: Path) -> Path:
    """The compiler of this host's architecture, unpacked; it compiles for any."""
    archive = AptSuite(
        mirror=mirror_of(source.go_mirror, image, apt_mirror), suites=(source.go_suite,), keyring=image.keyring
    )
    apt = AptRoot(work / "apt-go", host_debian_arch(), log_path)
    apt.prepare([archive], "deb")
    packages = work / "go-packages"
    packages.mkdir()
    apt.download(source.go_packages, packages)
    tree = work / "go"
    tree.mkdir()
    for package in sorted(packages.glob("*.deb")):
        unpack = ["dpkg-deb", "--extract", str(package), str(tree)]
        confined = of_this_host(limits=FOR_ONE_PACKAGE, readable=[package], writable=[tree], capabilities=FOR_UNPACKING)
        run_tool(unpack, purpose=f"unpacking {package.name}", log_path=log_path, confined=confined)
    found = sorted((tree / "usr/lib").glob("go-*"))
    if not found:
        raise ImageError(f"{' and '.join(source.go_packages)} hold no Go below /usr/lib", "correct go_packages")
    return found[0]


def _fetch_source(
    work: Path,
    tree: Path,
    image: ImageSource,
    source: KubernetesSource,
    version: str,
    apt_mirror: str,
    log_path: Path,
) -> str:
    """Unpacks the source with Debian's patches at `tree`; returns the version of the source package."""
    archive = AptSuite(
        mirror=mirror_of(source.mirror, image, apt_mirror), suites=(source.suite,), keyring=image.keyring
    )
    apt = AptRoot(work / "apt-source", host_debian_arch(), log_path)
    apt.prepare([archive], "deb-src")
    fetched = work / "source"
    fetched.mkdir()
    apt.download_source(source.package, fetched)
    (description,) = fetched.glob("*.dsc")
    match = re.search(r"^Version: (\S+)$", description.read_text(), re.MULTILINE)
    found = match[1] if match else ""
    if version not in found:
        raise ImageError(
            f"the source package {source.package} of {source.suite} is {found}, not {version}",
            "give the release the kubernetes_version that its suite has",
        )
    unpack_source(description, tree, log_path)
    return found


def unpack_source(description: Path, tree: Path, log_path: Path) -> None:
    """Beside the description are the files that it names; nothing is written but in the directory that holds `tree`."""
    tree.parent.mkdir(parents=True)
    # apt has verified the files by the archive's signed index; the key that signed the .dsc may have expired since.
    unpack = ["dpkg-source", "--no-check", "--no-copy", "--extract", str(description), str(tree)]
    confined = of_this_host(
        limits=FOR_ONE_PACKAGE, readable=[description.parent], writable=[tree.parent], capabilities=()
    )
    run_tool(unpack, purpose=f"unpacking {description.name}", log_path=log_path, confined=confined)


def _compile(work: Path, tree: Path, go_root: Path, arch: Arch, log_path: Path) -> None:
    for program in _OWN_PROGRAMS:
        directory = tree / "cmd" / program
        directory.mkdir()
        (directory / "main.go").write_text(_own_source(program))
    environment = {
        "CGO_ENABLED": "0",
        "GO111MODULE": "off",
        "GOCACHE": "/mnt/gocache",
        "GOFLAGS": "",
        "GOMAXPROCS": str(len(os.sched_getaffinity(0))),
        "GOPATH": "/mnt/gopath",
        "GOROOT": f"/mnt/{go_root.relative_to(work)}",
        "HOME": "/mnt",
        "PATH": f"/mnt/{go_root.relative_to(work)}/bin:{_PATH}",
        "SOURCE_DATE_EPOCH": _SOURCE_DATE,
    }
    for programs, overrides in _makes(arch):
        targets = " ".join(f"cmd/{program}" for program in programs)
        make = ["make", f"GOLDFLAGS={_LINKER_FLAGS}", f"KUBE_BUILD_PLATFORMS=linux/{arch.debian}", f"WHAT={targets}"]
        run_tool(
            ["sh", "-c", _AT_FIXED_PATH, "compile", str(work), str(tree.relative_to(work)), *make],
            purpose=f"compiling {', '.join(programs)}",
            log_path=log_path,
            environment={**environment, **overrides},
        )


def _makes(arch: Arch) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Programs to make at once, and variables for it.

    For another architecture, Kubernetes' build turns cgo on for what it does not list as static, and needs a C compiler
    for it; it can be set for one program at a time.
    """
    if arch.debian == host_debian_arch():
        yield _PROGRAMS, {}
        return
    yield tuple(program for program in _PROGRAMS if program not in _NOT_LISTED_AS_STATIC), {}
    for program in _NOT_LISTED_AS_STATIC:
        yield (program,), {"KUBE_STATIC_OVERRIDES": program}
