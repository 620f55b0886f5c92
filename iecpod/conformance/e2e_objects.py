"""What upstream's end-to-end tests find in a cluster, and what they leave there."""

from __future__ import annotations

from collections.abc import Collection

from iecpod.deploy.kubectl.kubectl import NODES, Kubectl, api_awaited, name_of
from iecpod.errors import IecpodError, WaitTimeout
from iecpod.ports import Clock, Reporter
from iecpod.wait import NotYet, poll

_NAMESPACES = "/api/v1/namespaces"
#: The label that the tests give each namespace they make (framework.CreateTestingNS).
LABEL = "e2e-run"


def missing_images(kubectl: Kubectl, wanted: Collection[str]) -> dict[str, list[str]]:
    """By node, the images of `wanted` that it does not have. A kubelet names up to 50 images, the largest first."""
    missing = {}
    for node in kubectl.load(NODES).entries("items"):
        images = node.at("status").entries("images")
        present = {name.as_text() for image in images for name in image.entries("names")}
        missing[name_of(node)] = sorted(set(wanted) - present)
    return {node: images for node, images in missing.items() if images}


def remove_namespaces(kubectl: Kubectl, clock: Clock, reporter: Reporter, *, wait_seconds: float) -> None:
    """Removes every namespace that tests have made, and what is in it; warns of what does not go within that time.

    One run of tests at a time is at work on a cluster, so none of them is in use.
    """
    try:
        for name in _find(kubectl):
            kubectl.discard(f"{_NAMESPACES}/{name}")
        if wait_seconds:
            poll(
                "the namespaces of the tests to go",
                lambda: _check_gone(kubectl),
                timeout_seconds=wait_seconds,
                clock=clock,
            )
    except WaitTimeout as error:
        reporter.warn(f"namespaces of the tests are still being removed: {error.last_seen}")
    except IecpodError as error:
        reporter.warn(
            f"namespaces of the tests could not be removed: {error.cause}; remove them with "
            f"`iecpod kubectl … delete namespaces -l {LABEL}`"
        )


def _find(kubectl: Kubectl) -> list[str]:
    return [name_of(item) for item in kubectl.load(f"{_NAMESPACES}?labelSelector={LABEL}").entries("items")]


def _check_gone(kubectl: Kubectl) -> None:
    with api_awaited():
        left = _find(kubectl)
    if left:
        raise NotYet(", ".join(left))
