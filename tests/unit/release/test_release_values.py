"""No value of a release file is read as more than it is: not by a shell, apt, mmdebstrap, a file system or a server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.descriptors.schema import check_schema
from iecpod.errors import Problem
from iecpod.http.url import check_http_url
from iecpod.yaml.document import Document, dump_yaml, load_yaml, split_path
from tests.unit.command_line import run, write_pod
from tests.unit.hostile.outside_watch import watched
from tests.unit.release.test_release import RELEASES, SCHEMAS, shipped

#: Of no name, package, suite, component, path, address, tag or argument.
EVERYWHERE = (
    *(
        "--setup-hook=touch pwned",
        "-oDir::Etc::sourcelist=/x",
        "-x",
        "--",
        "",
        " a",
        "a ",
        "a b",
        "a\n",
        "a\nb",
        "a\tb",
    ),
    *(
        "a'b",
        'a"b',
        "a\\b",
        "$(touch pwned)",
        "`touch pwned`",
        "${HOME}",
        "a;touch pwned",
        "a|b",
        "a>b",
        "a&&b",
        "a\0b",
    ),
    *("a\x1b[2J", "a\x7f", "a\u2028b", "\u202ea", "{arch.__class__}", "{0}", "[trusted=yes]", "a]b", "a\r\nb"),
)

#: By release and place: what is wrong there besides.
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "debian12": {
        "name": ("../x", "a/b", "Debian"),
        "user": ("root:x", "a/b"),
        "base_os": ("a/b",),
        "etcd_version": ("a/b", "a:b"),
        "image_repository": ("http://x", "../x", "a//b"),
        "pause_image": ("-a/b:c", "../a:c", "http://a/b:c"),
        "nginx_image": ("a/b:-c", "a/b:c@sha256:xx"),
        "ignored_preflight_checks[0]": ("a,b", "a=b"),
        "image.mirror": ("file:///x", "copy:/x", "cdrom:x", "ftp://x/y", "data:,x", "http://", "http://-x/", "//x/y"),
        "image.security_mirror": ("http://x/ y", "http://x/'y"),
        "image.suite": ("../x", "a/b", "bookworm main [x]"),
        "image.keyring": ("x.gpg", "/x y", "/x]y", "/x,y", "/x[y"),
        "image.packages[0]": ("./x.deb", "/x.deb", "a,b", "?essential", "~U", "a{b}", "{ARCH}", "a-"),
        "image.kernel_arguments[0]": ("a=b c", "a='b'"),
        "bundle.packages[0]": ("./x.deb", "/x.deb", "{arch}", "a=1;b", "a=", "curl-", "A"),
        "bundle.image_packages[0]": ("./x.deb", "a,b", "a-"),
        "bundle.kubernetes.mirror": ("file:///x", "https://x y"),
        "bundle.kubernetes.suite": ("../x", "a//b"),
        "bundle.kubernetes.package": ("./x.dsc", "/x"),
        "bundle.kubernetes.go_mirror": ("file:///x",),
        "bundle.kubernetes.go_suite": ("/x",),
        "bundle.kubernetes.go_packages[0]": ("./x.deb",),
    },
    "k8s-1.37": {
        "image.location.x86_64": ("file:///x", "data:,x", "/etc/shadow", "ftp://x/y"),
        "image.sha256sums.aarch64": ("file:///x", "data:,x", "/etc/shadow"),
        "archive.mirror.x86_64": ("file:///x", "cdrom:x"),
        "archive.suites[0]": ("../x", "/x", "a//b"),
        "archive.components[0]": ("../x", "/x"),
        "archive.keyring": ("x.gpg",),
        "calico.manifests[0].name": ("../x", "a/b"),
        "calico.manifests[0].url": ("file:///x", "data:,x", "/x"),
        "helm.location.x86_64": ("file:///x", "data:,x"),
        "repositories[0].name": ("../x", "a/b", "a.b"),
        "repositories[0].uri": ("file:///x", "copy:/x", "mirror+file:/x", "tor+http://x"),
        "repositories[0].suites[0]": ("../x", "/x"),
        "repositories[1].components[0]": ("../x", "/x"),
        "repositories[0].key_url": ("file:///x", "/etc/shadow", "data:,x"),
        "packages[0]": ("./x.deb", "/x.deb", "{arch}", "a-", "a*"),
        "extra_images[0]": ("-a/b:c", "a/../b:c"),
    },
    "k8s-1.37-go": {
        "bundle.go.modules[0].name": ("../x", "a/b"),
        "bundle.go.modules[0].tags[0]": ("a,b", "a.b"),
        "bundle.go.modules[1].source": ("../x", "./x", "http://x"),
        "bundle.go.modules[5].libraries[0]": ("./x.deb", "/x.deb", "a-"),
        "coredns_version": ("a/b",),
    },
    "iec-r1": {
        "helm.sha256sums.x86_64": ("file:///x", "data:,x"),
        "calico.image_names.aarch64.quay.io/coreos/etcd:v3.3.9": ("a b",),
        "variants.ubuntu1604.image.location.x86_64": ("file:///x",),
        "variants.ubuntu1604.repositories[0].uri": ("file:///x",),
        "variants.ubuntu1604.archive.suites[0]": ("../x",),
    },
}

GOOD = {
    "debian12": {
        "bundle.packages[0]": ("libstdc++6", "foo:arm64=1:2.3~rc1-1+b2", "runc/bookworm-backports", "g++"),
        "image.packages[0]": ("linux-image-{arch}", "linux-image-cloud-{arch}=6.1.*"),
        "image.mirror": ("http://[fd00::1]:3142/debian", "https://me:s%20x@mirror_1.lab.:8080/a/b?c=d&e=f"),
        "image.kernel_arguments[0]": ("console=ttyS0,115200n8", "systemd.unit=x@y.service", "isolcpus=1-3"),
        "image.keyring": ("/usr/share/keyrings/debian-archive-keyring.gpg", "/root/my_keys+~1.asc"),
        "ignored_preflight_checks[0]": ("FileContent--proc-sys-net-bridge-bridge-nf-call-iptables", "Port-6443"),
    },
    "k8s-1.37": {
        "repositories[0].suites[0]": ("/", "./", "stable/updates", "xenial/", "focal-pgdg"),
        "repositories[1].components[0]": ("non-free-firmware", "main/debug"),
        "packages[0]": ("containerd.io", "kubeadm=1.37.2-*", "docker-ce=5:18.06.1~ce~3-0~ubuntu"),
    },
}


def _steps(place: str) -> tuple[str | int, ...]:
    """`image_names` has names of images for keys, which hold dots."""
    head, found, name = place.partition(".aarch64.quay.io")
    return (*split_path(head), "aarch64", f"quay.io{name}") if found else tuple(split_path(place))


def _edited(name: str, values: Mapping[str, object]) -> dict[str, Any]:
    """The shipped release with those values in their places."""
    data: Any = shipped(name)
    for place, value in values.items():
        *parents, last = _steps(place)
        inner = data
        for step in parents:
            inner = inner[step]
        inner[last] = value
    return dict(data)


def _problems(data: dict[str, Any]) -> list[Problem]:
    return check_schema(_document(data), "release", SCHEMAS)


def _document(data: dict[str, Any]) -> Document:
    return (
        Document(data, "release.yaml", 0) if "\0" in str(data) else load_yaml(dump_yaml(data).encode(), "release.yaml")
    )


def _unseen(name: str, values: Mapping[str, str]) -> set[tuple[str, str]]:
    """Of values that are all in their places at once, those that nothing is said about."""
    problems = [problem.path for problem in _problems(_edited(name, values))]
    return {(place, value) for place, value in values.items() if not any(path.startswith(place) for path in problems)}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("value", EVERYWHERE)
def test_a_hostile_value_is_refused_everywhere(name: str, value: str) -> None:
    assert _unseen(name, dict.fromkeys(PLACES[name], value)) == set()


@pytest.mark.parametrize("name", PLACES)
def test_each_value_has_its_own_grammar(name: str) -> None:
    rows = itertools.zip_longest(*([(place, value) for value in others] for place, others in PLACES[name].items()))
    for row in rows:
        assert _unseen(name, dict(filter(None, row))) == set()


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [(name, place, value) for name, places in GOOD.items() for place, values in places.items() for value in values],
)
def test_values_of_real_releases_stay(name: str, place: str, value: str) -> None:
    assert _problems(_edited(name, {place: value})) == []


@pytest.mark.parametrize("text", ["two\nlines", "\x1b]0;title\x07", "a\x9bb", ""])
@pytest.mark.parametrize(("name", "place"), [("debian12", "description"), ("iec-r1", "repositories[0].withdrawn")])
def test_text_for_people_is_one_line(name: str, place: str, text: str) -> None:
    assert [problem.path for problem in _problems(_edited(name, {place: text}))] == [place]


@pytest.mark.parametrize("value", ["a b", "{version.title}", "{0}", "{", "a'b", "-X x=y", "a\n"])
def test_a_variable_of_the_linker_is_one_word(value: str) -> None:
    name = "k8s.io/component-base/version.gitVersion"
    data: Any = shipped("k8s-1.37-go")
    data["bundle"]["go"]["modules"][0]["variables"][name] = value
    assert [problem.path for problem in _problems(data)] == [f"bundle.go.modules[0].variables.{name}"]


def test_names_of_images_are_checked_as_keys_too() -> None:
    data = _edited("iec-r1", {"calico.image_names": {"aarch64": {"-x": "a"}}})
    assert [problem.path for problem in _problems(data)] == ["calico.image_names.aarch64"]


def _leaves(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from [(*path, key)] if isinstance(value, str) else _leaves(value, (*path, key))


@pytest.mark.parametrize("name", sorted(path.stem for path in RELEASES.glob("*.yaml")))
def test_no_text_of_a_release_may_end_in_a_line_break(name: str) -> None:
    """Of all the values that there are: Python's `$` would let that pass."""
    for path in _leaves(shipped(name)):
        data: Any = shipped(name)
        inner = data
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] += "\n"
        assert _problems(data), path


@pytest.mark.parametrize(
    "verb",
    [
        *(("plan",), ("deploy",), ("redeploy",), ("status",), ("logs", "x.tar.gz"), ("export", "env"), ("teardown",)),
        *(("image", "bake"), ("bundle", "build"), ("releases", "show")),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("image.suite", "--setup-hook=touch pwned"),
        ("image.packages[0]", "-oDPkg::Pre-Invoke::=touch pwned"),
        ("bundle.kubernetes.package", "-oDir::Etc::sourcelist=/x"),
        ("image.mirror", "http://x/'; touch pwned; '"),
        ("image.keyring", "/x] http://evil/ x main #"),
        ("nginx_image", "docker.io/a:b'; touch pwned; '"),
    ],
)
def test_no_verb_gets_as_far_as_to_use_it(tmp_path: Path, verb: tuple[str, ...], place: str, value: str) -> None:
    own = tmp_path / "own"
    write_pod(own, "lab", "pod")
    (own / "release.yaml").write_text(dump_yaml(_edited("debian12", {place: value})))
    of_a_pod = ("-l", "lab", "-p", "pod", "-b", ".") if verb[0] not in ("image", "bundle", "releases") else ()
    release = ("./release.yaml",) if verb[0] == "releases" else ("--release", "./release.yaml")
    with watched(own) as seen:
        result = run(own, *verb, *release, *of_a_pod)
    assert seen == [] and not (own / "pwned").exists()
    if verb[0] == "logs":
        return  # it collects what there is, and notes the release among what is missing
    assert getattr(result.exception, "exit_code", None) == 3, result.output
    assert any(problem.path == place and problem.line for problem in result.exception.problems)  # type: ignore[union-attr]


@settings(deadline=None)  # machines are shared
@given(st.text() | st.from_regex(r"https?://[a-z]{1,3}[ -~]{0,20}", fullmatch=True))
def test_an_address_has_nothing_that_quotes_or_ends_something(text: str) -> None:
    try:
        assert check_http_url(text) == text
    except ValueError:
        return
    assert text.lower().startswith(("http://", "https://")) and text.isascii() and text.isprintable()
    assert not set(text) & set(" '\"`\\$<>{}|^!*();#")
