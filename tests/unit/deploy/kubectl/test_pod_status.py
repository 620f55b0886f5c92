"""Kubernetes' pods that do not run, as the API shows them."""

from __future__ import annotations

from typing import Any

import pytest

from iecpod.deploy.kubectl.pod_status import not_running
from iecpod.outside_json import Json


def _container(ready: bool = False, **state: dict[str, str]) -> dict[str, Any]:
    return {"image": "img:1", "ready": ready, "state": state}


def _init(image: str, **state: dict[str, str]) -> dict[str, Any]:
    return {"image": image, "ready": False, "state": state}


_UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Running", "containerStatuses": [_container(True, running={})]}, []),
        ({"phase": "Succeeded", "containerStatuses": [_container(terminated={"reason": "Completed"})]}, []),
        (
            {"phase": "Running", "containerStatuses": [_container(waiting={"reason": "CrashLoopBackOff"})]},
            ["x: CrashLoopBackOff img:1"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [_container(terminated={"reason": "OOMKilled"})]},
            ["x: OOMKilled img:1"],
        ),
        ({"phase": "Running", "containerStatuses": [_container(running={})]}, ["x: NotReady img:1"]),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    _init("first:1", terminated={"reason": "Completed"}),
                    _init("cni:1", waiting={"reason": "ImagePullBackOff"}),
                ],
                "containerStatuses": [_container(waiting={"reason": "PodInitializing"})],
            },
            ["x: ImagePullBackOff cni:1"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [_init("cni:1", running={})],
                "containerStatuses": [_container(waiting={"reason": "PodInitializing"})],
            },
            ["x: Pending"],
        ),
        ({"phase": "Pending", "conditions": [_UNSCHEDULED]}, ["x: Pending, 0/3 nodes are available"]),
        ({}, ["x: unknown"]),
    ],
)
def test_a_pod_is_reported_with_images_and_reasons(status: dict[str, Any], shown: list[str]) -> None:
    assert not_running([Json({"metadata": {"name": "x"}, "status": status})]) == shown
