"""What pip installs: `pip install .` from a source distribution and `pip install -e .` find every data file.

Builds use the setuptools that is installed and nothing from an index.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from iecpod.layout import DATA_DIRS

ROOT = Path(__file__).parents[2]
PACKAGE_DATA = ("releases", "scenarios", "render/templates")

#: Runs with the installed package only: -I keeps the working directory and the environment off the path.
_PROBE = """
import json, sys
from pathlib import Path
import iecpod
from iecpod.layout import find_layout
package = Path(iecpod.__file__).parent
layout = find_layout({}, package_dir=package, is_root=True)
roots = {"pdf": layout.pdf_dir, "schemas": layout.schemas_dir, "cloud-init": layout.cloud_init_dir,
         "iecpod/releases": layout.releases_dir, "iecpod/scenarios": layout.scenarios_dir,
         "iecpod/render/templates": package / "render" / "templates"}
print(json.dumps({
    "package": str(package),
    "files": sorted(f"{name}/{path.relative_to(root)}" for name, root in roots.items() for path in root.rglob("*")
                    if path.is_file()),
}))
"""


def data_files(root: Path) -> list[str]:
    directories = [*DATA_DIRS, *(f"iecpod/{name}" for name in PACKAGE_DATA)]
    return sorted(
        str(path.relative_to(root)) for name in directories for path in (root / name).rglob("*") if path.is_file()
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: builds write beside setup.cfg."""
    copy = tmp_path_factory.mktemp("source") / "iecpod"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "build", "__pycache__", "tests", "benchmarks")
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in argv], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def install(tmp_path: Path, *arguments: str | Path) -> dict[str, object]:
    """Installs into an environment that sees the libraries of this one; returns what its iecpod finds."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    packages = next(venv.glob("lib/python*/site-packages"))
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "libraries.pth").write_text("\n".join(libraries))
    python = venv / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install"]
    run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed", *arguments)
    assert (venv / "bin" / "iecpod").exists()
    found: dict[str, object] = json.loads(run(python, "-I", "-c", _PROBE))
    found["venv"] = str(venv)
    return found


def test_an_editable_install_uses_the_checkout(checkout: Path, tmp_path: Path) -> None:
    found = install(tmp_path, "--editable", checkout)
    assert found["package"] == str(checkout / "iecpod")
    assert found["files"] == data_files(checkout)


def test_a_source_distribution_has_and_installs_every_file(checkout: Path, tmp_path: Path) -> None:
    script = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    name = run(sys.executable, "-c", script, tmp_path, cwd=checkout).split()[-1]
    found = install(tmp_path, tmp_path / name)
    assert str(found["package"]).startswith(str(found["venv"]))
    assert found["files"] == data_files(checkout)
    assert len(data_files(checkout)) > 15
