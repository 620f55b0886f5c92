"""Requests and saved PODs of which tests name only the values that they are about."""

from __future__ import annotations

from typing import Any

from iecpod.options.option import Source
from iecpod.options.option_table import OPTIONS, PodOptions
from iecpod.pods.request import GivenFiles, PodRequest
from iecpod.pods.saved import SavedPod

_FILES = {
    "bundle_file": "bundle",
    "image_archive_files": "image_archives",
    "manifest_patch_file": "manifest_patch",
}


def pod_request(**values: Any) -> PodRequest:
    """Options of the POD and fields of the request side by side; files by `bundle_file` and their like."""
    options = {name: values.pop(name) for name in OPTIONS if name in values}
    files = {field: values.pop(name) for name, field in _FILES.items() if name in values}
    return PodRequest(options=PodOptions(**options), files=GivenFiles(**files), **values)


def saved_pod(**values: Any) -> SavedPod:
    """Options of the POD's deploy, and fields of what is saved, side by side."""
    options = {name: values.pop(name) for name in OPTIONS if name in values}
    return SavedPod(options=PodOptions(**options, sources=dict.fromkeys(options, Source.SAVED)), **values)
