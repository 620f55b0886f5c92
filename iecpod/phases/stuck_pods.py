"""One look at the pods that a wait was for, when its time is up."""

from __future__ import annotations

from collections.abc import Iterable

from iecpod.phases.k8s_pods import not_running
from iecpod.phases.kubectl import NO_ANSWER, Kubectl

_LOOK_SECONDS = 60.0


def tell_stuck_pods(kubectl: Kubectl, namespaces: Iterable[str]) -> str:
    """The pods that do not run, with images and reasons; empty where all run, or nobody knows."""
    try:
        listings = {
            namespace: kubectl.find(f"/api/v1/namespaces/{namespace}/pods", timeout_seconds=_LOOK_SECONDS)
            for namespace in namespaces
        }
    except NO_ANSWER:
        return ""
    stuck = {namespace: not_running(pods.entries("items")) for namespace, pods in listings.items() if pods is not None}
    return "\n".join(
        "\n    ".join((f"pods of {namespace} that do not run:", *states))
        for namespace, states in stuck.items()
        if states
    )
