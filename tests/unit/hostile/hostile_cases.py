"""Command lines with something hostile in what they read: descriptors, options, bundles, servers, saved files."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from iecpod.cli.main import cli
from iecpod.yaml.document import dump_yaml, load_yaml
from tests.unit.descriptors.broken_pod import edited, sound_text
from tests.unit.descriptors.mutator import places
from tests.unit.images.bundle.test_hostile_bundles import FILES, manifest_bytes

#: OUT is a directory that no command was given, URL a server of ours.
TEXTS = (
    *("", " ", "..", "../..", "../../OUT/secret", "OUT/secret", "/etc/shadow", "/dev/zero", "/proc/self/environ", "-x"),
    *("$(touch OUT/made)", "`touch OUT/made`", ";touch OUT/made;", "| touch OUT/made", "'; touch OUT/made; '", "%s{0}"),
    *("qemu+ssh://host.invalid/system?command=OUT/program", "qemu+ext:///system?command=OUT/program", "lxc:///"),
    *("qemu+unix:///system?socket=OUT/secret", "qemu:///system?command=x", "test://OUT/secret", "gopher://x"),
    *("file://OUT/secret", "file:///etc/shadow", "git+ssh://host.invalid/x", "ftp://127.0.0.1/x", "URL/../x#y?z"),
    *("http://[::1", "http://127.0.0.1:99999/", "http://user:pass@127.0.0.1:1/\r\nX: y", "https://127.0.0.1:1/"),
    *("ext::sh -c 'touch OUT/made'", "!!python/object/apply:os.system ['touch OUT/made']", "&a [*a, *a]", "<<: *x"),
    *(
        "ENC[PKCS7,AAAA]",
        "ENC[GPG,x]",
        "? - :",
        "a\x00b",
        "a\x1b]0;x\x07\x1b[2J",
        "a\r\nb",
        "\u202ea",
        "\udcff",
        "\ufeff",
    ),
    *("x" * 5000, "é" * 64, "1" * 400, "0x" + "f" * 99, "10.0.0.0/8", "0.0.0.0/0", "255.255.255.255", "::/0"),
    *("127.0.0.1", "224.0.0.1", "1-9", "1e999", ".inf", "0o7", "2G", "all", "default", "lo", "eth0", "docker0"),
    *("virbr0", "<network/>", "]]>", "&xxe;", 'a\' b="c"', "admin\nExecStart=/x"),
)
#: A registry that does not answer; its mirror is the server of the test.
REGISTRY = "127.0.0.1:1"
IMAGE = f"{REGISTRY}/app:1"
PULL = "pull-image"
VALUES: tuple[Any, ...] = (None, True, -1, 0, 1 << 70, 1.5, [], {}, [[]], {"": ""}, {"a": {"b": ["c"]}}, ["/x"] * 3)
_RELEASE = """
name: lab
description: of the lab
user: u
image: {type: file, location: {x86_64: OWN/image.qcow2, aarch64: OWN/image.qcow2}}
kubernetes_version: 1.30.1
pause_image: registry.k8s.io/pause:3.9
nginx_image: docker.io/library/nginx:1
runtime: containerd
cgroup_driver: systemd
cnis: [bridge]
packages: [containerd]
"""


def hostile_value(rng: random.Random, text: Callable[[random.Random], str] = lambda rng: rng.choice(TEXTS)) -> Any:
    return rng.choice(VALUES) if rng.random() < 0.3 else text(rng)


@dataclass(frozen=True, slots=True)
class Ground:
    """A directory of the case's own; one that it was not given, and the URL of a server."""

    own: Path
    outside: Path
    url: str

    def text(self, rng: random.Random) -> str:
        chosen = rng.choice(TEXTS)
        return chosen.replace("OUT", str(self.outside)).replace("URL", self.url)

    def value(self, rng: random.Random) -> Any:
        return hostile_value(rng, self.text)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
        return path


Case = Callable[[random.Random, Ground], Sequence[str]]

_ON_TEST = ("-c", "test:///default")
_POD = ("-l", "lab", "-p", "pod", "-b", "base")


def _verb(rng: random.Random, ground: Ground) -> list[str]:
    """One that reads the POD's descriptors; libvirt's test driver has no QEMU, so no deploy gets far."""
    ground.write("release.yaml", _RELEASE.replace("OWN", str(ground.own)))
    ground.write("image.qcow2", b"QFI\xfb" + rng.randbytes(100))
    release = ("--release", "./release.yaml", "-s", "k8-bridge-iec-noha")
    return list(
        rng.choice(
            (
                ("validate", *_POD),
                ("validate", "--all", "-b", "base", "--format", rng.choice(("text", "json", "junit"))),
                ("validate", "base/labs/lab/pod.yaml"),
                ("labs", "-b", "base", "-o", rng.choice(("table", "json"))),
                ("plan", *_POD, *_ON_TEST, *release),
                ("plan", *_POD, *_ON_TEST, *release, "--addressing", "compact"),
                ("status", *_POD, *_ON_TEST, *release),
                ("deploy", *_POD, *_ON_TEST, *release),
                ("teardown", *_POD, *_ON_TEST),
                ("kubeconfig", *_POD, *_ON_TEST),
                ("export", *_POD, *_ON_TEST, *release, "env"),
                ("logs", *_POD, *_ON_TEST, "logs.tar.gz"),
            )
        )
    )


def _write_pod(ground: Ground, pdf: str | bytes | None = None, idf: str | bytes | None = None) -> None:
    ground.write("base/labs/lab/pod.yaml", sound_text("virtual.yaml") if pdf is None else pdf)
    ground.write("base/labs/lab/idf-pod.yaml", sound_text("idf-virtual.yaml") if idf is None else idf)


def _put(rng: random.Random, ground: Ground, data: Any) -> Any:
    """Hostile values in some places of it, or as keys."""
    data = json.loads(json.dumps(data))
    for _ in range(rng.randint(1, 3)):
        place = rng.choice([place for place in places(data) if place])
        try:
            data = edited(data, place, ground.value(rng))
        except (KeyError, IndexError, TypeError):  # it was in what an earlier one replaced
            continue
    return data


def descriptor_values(rng: random.Random, ground: Ground) -> Sequence[str]:
    pdf, idf = (load_yaml(sound_text(name), name).data for name in ("virtual.yaml", "idf-virtual.yaml"))
    pdf, idf = (_put(rng, ground, data) if rng.random() < 0.7 else data for data in (pdf, idf))
    _write_pod(ground, _yaml(pdf), _yaml(idf))
    return _verb(rng, ground)


def _yaml(data: Any) -> str:
    """JSON is YAML, and can escape what YAML's own text cannot hold."""
    try:
        return dump_yaml(data)
    except UnicodeEncodeError:
        return json.dumps(data)


def descriptor_texts(rng: random.Random, ground: Ground) -> Sequence[str]:
    def broken(text: str) -> bytes:
        content = text.encode()
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            piece = ground.text(rng).encode(errors="surrogatepass") if rng.random() < 0.8 else rng.randbytes(4)
            content = content[:at] + piece + content[at + rng.choice((0, 0, len(piece), 200)) :]
        return content

    texts = [sound_text(name) for name in ("virtual.yaml", "idf-virtual.yaml")]
    _write_pod(ground, *(broken(text) if rng.random() < 0.6 else text for text in texts))
    return _verb(rng, ground)


def options(rng: random.Random, ground: Ground) -> Sequence[str]:
    """Whoever starts a job gives them. Paths are a user's to name, so those that lead outside are not among them."""
    _write_pod(ground)
    argv = _verb(rng, ground)
    known = cli.commands[argv[0]].params
    taken = [option for option in known if isinstance(option, click.Option) and not option.is_flag]
    for option in rng.sample(taken, rng.randint(1, 2)):
        value = ground.text(rng)
        if str(ground.outside) not in value and not value.startswith(("/", "file:")) and "\0" not in value:
            argv += [option.opts[-1], rng.choice(("", "", "kubernetes=", "docker.io=")) + value]
    return argv


def bundles(rng: random.Random, ground: Ground) -> Sequence[str]:
    changes = _put(rng, ground, json.loads(manifest_bytes())) if rng.random() < 0.7 else json.loads(manifest_bytes())
    manifest = json.dumps(changes).encode()
    if rng.random() < 0.3:
        at = rng.randrange(len(manifest))
        manifest = manifest[:at] + rng.randbytes(rng.randint(1, 9)) + manifest[at:]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as tar:
        members = [("manifest.json", manifest), *FILES.items()]
        members += [(ground.text(rng).replace("\0", ""), b"x")] if rng.random() < 0.5 else []
        for name, text in members:
            _add_member(rng, ground, tar, name, text)
    archive = content.getvalue()
    if rng.random() < 0.2:
        at = rng.randrange(len(archive))
        archive = archive[:at] + rng.randbytes(16) + archive[at + 16 :]
    ground.write("b.tar", archive)
    _write_pod(ground)
    return rng.choice(
        (
            ("bundle", "show", "b.tar", "-o", rng.choice(("table", "json"))),
            ("bundle", "verify", "b.tar"),
            ("plan", *_POD, *_ON_TEST, "--bundle", "b.tar", "-s", "k8-bridge-iec-noha"),
            ("plan", *_POD, *_ON_TEST, "--bundle", "b.tar", "--bundle-digest", "0" * 64),
        )
    )


def _add_member(rng: random.Random, ground: Ground, tar: tarfile.TarFile, name: str, text: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), rng.choice((0o644, 0o4777))
    if rng.random() < 0.15:
        entry.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
        entry.linkname, entry.size = ground.text(rng).replace("\0", ""), 0
    tar.addfile(entry, io.BytesIO(text))


def servers(rng: random.Random, ground: Ground) -> Sequence[str]:
    """Descriptors, or an image and its sums, by HTTP of whoever answers."""
    if rng.random() < 0.7:
        return rng.choice(("validate", "plan", "deploy", "status")), "-l", "lab", "-p", "pod", "-b", ground.url
    _write_pod(ground)
    ground.write("release.yaml", _RELEASE.replace("OWN", str(ground.own)))
    manifest = ground.write("manifest.yaml", ground.text(rng))
    sources = ("--image-url", f"{ground.url}/image.img", "--manifest", f"flannel={manifest}")
    return ("deploy", *_POD, *_ON_TEST, "--release", "k8s-1.37", "-s", "k8-flannel-iec-noha", *sources)


def registries(rng: random.Random, ground: Ground) -> Sequence[str]:
    """An image of whoever answers, by the way that `bundle build` takes; `PULL` is of the child that runs the cases."""
    image = rng.choice((IMAGE, IMAGE, IMAGE, f"{IMAGE}@sha256:{'0' * 64}", ground.text(rng).replace("\0", "")))
    return PULL, "--mirror", ground.url, "--", image


def state(rng: random.Random, ground: Ground) -> Sequence[str]:
    """Files that a crash, or a person, left in another form than they had."""
    _write_pod(ground)
    names = ("deployed.json", "kubeconfig", ".iecpod", "pool", "keys/id_ed25519", "libvirt/etc/qemu/x.xml")
    for name in rng.sample((*names, "../../../installation"), 3):
        note = {key: ground.value(rng) for key in ("uri", "base_uri", "release", "supply", "pod_cidr", "scenario")}
        content = json.dumps(note) if rng.random() < 0.5 else ground.text(rng)
        ground.write(f"state/pods/lab/pod/{name}", content)
    return _verb(rng, ground)


KINDS: tuple[Case, ...] = (descriptor_values, descriptor_texts, options, bundles, servers, registries, state)
