"""A process that runs one command line after the other and is watched; cases and outcomes are lines of JSON."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import pkgutil
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

import click

import iecpod
from iecpod.cache.artifacts import Cache
from iecpod.cli.main import cli, main
from iecpod.images.fetch.container_registry import Registries
from iecpod.images.fetch.pulled_images import pull_image
from iecpod.model import Arch
from tests.fakes import FakeClock
from tests.fakes.reporter import RecordingReporter
from tests.unit.hostile.hostile_cases import PULL, REGISTRY
from tests.unit.hostile.kernel_watch import offer_watch


@cli.command(PULL)
@click.option("--mirror")
@click.argument("image")
def pull(mirror: str, image: str) -> None:
    """What `bundle build` does with each image of a release, after hours of packages; pauses between tries are none."""
    cache = Cache(Path(os.environ["IECPOD_CACHE_DIR"]), RecordingReporter())
    pull_image(cache, Registries({REGISTRY: mirror}, FakeClock()), image, Arch.X86_64)


def _load_all() -> None:
    """So that what is opened afterwards is not code."""
    for module in pkgutil.walk_packages(iecpod.__path__, "iecpod."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _run(case: dict[str, object]) -> dict[str, object]:
    os.environ.clear()
    os.environ.update(case["environ"])  # type: ignore[call-overload]
    os.chdir(str(case["directory"]))
    tempfile.tempdir = None  # it is that of the case before
    printed = io.BytesIO()
    before = sys.stdout, sys.stderr
    stream = io.TextIOWrapper(printed, "utf-8", errors="backslashreplace", write_through=True)
    sys.stdout = sys.stderr = stream
    started = time.monotonic()
    try:
        code: object = main(list(case["argv"]))  # type: ignore[call-overload]
    except BaseException:
        code = traceback.format_exc()
    finally:
        sys.stdout, sys.stderr = before
        for handler in list(logging.getLogger("iecpod").handlers):
            logging.getLogger("iecpod").removeHandler(handler)
    text = printed.getvalue().decode(errors="replace") if not stream.closed else "stdout was closed"
    return {"code": code, "printed": text, "seconds": time.monotonic() - started}


if __name__ == "__main__":
    _load_all()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        offer_watch(channel)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)
