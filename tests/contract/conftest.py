"""Fixtures that more than one contract suite uses."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def capabilities_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QEMU is asked once what it can do, not once a test."""
    return tmp_path_factory.mktemp("capabilities")
