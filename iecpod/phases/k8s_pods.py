"""Kubernetes' pods that do not run, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_NO_REASON = ("Completed", "PodInitializing")


def is_running(pod: dict[str, Any]) -> bool:
    """Running with every container ready."""
    statuses = pod["status"].get("containerStatuses", [])
    return pod["status"].get("phase") == "Running" and bool(statuses) and all(s["ready"] for s in statuses)


def pod_state(pod: dict[str, Any]) -> str:
    """Pod, and image and reason of each container that does not run: `x: ErrImagePull docker.io/library/nginx:stable`.

    Of a pod without such containers its phase, and why it is on no node.
    """
    reasons = tuple(_container_reasons(pod["status"])) or (_phase(pod["status"]),)
    return f"{pod['metadata']['name']}: {', '.join(reasons)}"


def not_running(pods: Iterable[dict[str, Any]]) -> list[str]:
    """The states of pods that ought to run and do not."""
    return [pod_state(pod) for pod in pods if pod["status"].get("phase") != "Succeeded" and not is_running(pod)]


def _container_reasons(status: dict[str, Any]) -> Iterator[str]:
    """Why containers wait or have ended; those that wait for init containers only are no reason."""
    containers = status.get("containerStatuses", [])
    for container in (*status.get("initContainerStatuses", []), *containers):
        state = container.get("state", {})
        reason = (state.get("waiting") or state.get("terminated") or {}).get("reason", "")
        if reason and reason not in _NO_REASON:
            yield f"{reason} {container['image']}"
        elif "running" in state and container in containers and not container["ready"]:
            yield f"NotReady {container['image']}"


def _phase(status: dict[str, Any]) -> str:
    phase = str(status.get("phase", "unknown"))
    conditions = status.get("conditions", [])
    unscheduled = [entry for entry in conditions if (entry["type"], entry["status"]) == ("PodScheduled", "False")]
    return ", ".join([phase, *(str(entry.get("message", "on no node")) for entry in unscheduled)])
