"""One look at the pods that a wait was for, when it has timed out."""

from __future__ import annotations

from collections.abc import Iterable

from iecpod.deploy.kubectl.kubectl import NO_ANSWER, Kubectl
from iecpod.deploy.kubectl.pod_status import not_running

_LOOK_SECONDS = 60.0


def describe_pods_not_running(kubectl: Kubectl, namespaces: Iterable[str]) -> str:
    """The pods that do not run, with images and reasons; empty where all run, or that is unknown."""
    try:
        listings = {
            namespace: kubectl.find(f"/api/v1/namespaces/{namespace}/pods", timeout_seconds=_LOOK_SECONDS)
            for namespace in namespaces
        }
    except NO_ANSWER:
        return ""
    waiting = {
        namespace: not_running(pods.entries("items")) for namespace, pods in listings.items() if pods is not None
    }
    return "\n".join(
        "\n    ".join((f"pods of {namespace} that do not run:", *states))
        for namespace, states in waiting.items()
        if states
    )
