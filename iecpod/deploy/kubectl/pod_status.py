"""Kubernetes' pods that do not run, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from iecpod.deploy.kubectl.kubectl import condition_of, name_of
from iecpod.outside_json import Json

_NO_REASON = ("Completed", "PodInitializing")


def is_running(pod: Json) -> bool:
    """Running with every container ready."""
    status = pod.at("status")
    containers = status.entries("containerStatuses")
    ready = all(container.flag("ready") for container in containers)
    return status.text("phase", "") == "Running" and bool(containers) and ready


def pod_state(pod: Json) -> str:
    """Pod, and image and reason of each container that does not run: `x: ErrImagePull docker.io/library/nginx:stable`.

    Of a pod without such containers its phase, and why it is on no node.
    """
    reasons = tuple(_container_reasons(pod.at("status"))) or (_phase(pod),)
    return f"{name_of(pod)}: {', '.join(reasons)}"


def node_of(pod: Json) -> str:
    return pod.at("spec").text("nodeName")


def ip_of(pod: Json) -> IPv4Address:
    return _address(pod.at("status"), "podIP")


def cluster_ip_of(service: Json) -> IPv4Address:
    return _address(service.at("spec"), "clusterIP")


def _address(place: Json, key: str) -> IPv4Address:
    text = place.text(key)
    try:
        return IPv4Address(text)
    except ValueError:
        raise place.refuse(f"{place.path}.{key}: {text!r} is no IPv4 address") from None


def not_running(pods: Iterable[Json]) -> list[str]:
    """The states of pods that ought to run and do not."""
    unended = (pod for pod in pods if pod.at("status").text("phase", "") != "Succeeded")
    return [pod_state(pod) for pod in unended if not is_running(pod)]


def _container_reasons(status: Json) -> Iterator[str]:
    """Why containers wait or have ended; those that wait for init containers only are no reason."""
    containers = status.entries("containerStatuses")
    for container in (*status.entries("initContainerStatuses"), *containers):
        state = container.get("state")
        ended = (state.get("waiting") or state.get("terminated")) if state else None
        reason = ended.text("reason", "") if ended else ""
        if reason and reason not in _NO_REASON:
            yield f"{reason} {container.text('image')}"
        elif state and state.get("running") and container in containers and not container.flag("ready"):
            yield f"NotReady {container.text('image')}"


def _phase(pod: Json) -> str:
    phase = pod.at("status").text("phase", "unknown")
    if condition_of(pod, "PodScheduled") != "False":
        return phase
    return f"{phase}, {condition_of(pod, 'PodScheduled', 'message') or 'on no node'}"
