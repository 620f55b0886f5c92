"""The layers hold: what may import what, the only importers of libraries, and no cycles."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "iecpod"
TESTS = ROOT / "tests"

#: Lowest first; a module imports from its own layer and from those below. The longest matching prefix counts.
LAYERS = (
    (
        *("errors", "outside_json", "units", "sha256", "printable", "processes", "home", "layout", "locks"),
        "ssh_login",
        *("yaml", "files", "http"),
    ),
    ("hypervisor_uri", "model", "naming"),
    ("descriptors",),
    ("release",),
    ("options",),
    ("design",),
    ("render",),
    ("cni",),
    ("ports", "results", "wait"),
    ("deploy.waiting",),
    ("deploy.node",),
    ("deploy.kubectl",),
    ("deploy.workflow", "deploy.phases"),
    ("adapters", "cache", "images", "progress", "ssh", "checkpoints"),
    ("provider",),
    ("providers",),
    ("pods", "reports"),
    ("conformance", "logs"),
    ("commands",),
    ("wiring", "cli", "__main__"),
)

#: Packages that do not import each other: phases see ports, `wiring` joins them with adapters. Commands, what they
#: share, and phases see the port to providers, and no provider.
_ADAPTERS = ("adapters", "cache", "checkpoints", "images", "progress", "ssh")
SEPARATE = (
    *((one, "deploy") for one in _ADAPTERS),
    *((one, "providers") for one in ("pods", "reports", "conformance", "logs", "commands")),
)

ONLY_IMPORTERS = {
    "yaml": ("yaml.document",),
    "jsonschema": ("descriptors.schema",),
    "netaddr": ("descriptors.addresses.addressing", "descriptors.addresses.cidrs"),
    "jinja2": ("render", "providers.libvirt.xml"),
    "libvirt": ("providers.libvirt.connection",),
    "libvirt_qemu": ("providers.libvirt.connection",),
    "paramiko": ("ssh.connection", "ssh.root_session", "ssh.exchange", "ssh.host_keys", "ssh.tunnel"),
    "pycdlib": ("providers.libvirt.seed_iso",),
    "cryptography": (
        "ssh.keys",
        "adapters.etcd_certificates",
        "descriptors.eyaml_keys",
        "deploy.kubectl.admin_credentials",
        "deploy.kubectl.bootstrap_token",
        "deploy.phases.certificates",
    ),
    "platformdirs": ("layout",),
    "psutil": ("processes",),
    "urllib3": ("http.client", "http.failures"),
    "rich": ("progress.live_display", "progress.reporters"),
    "click": ("cli",),
    # of the standard library: what reads from servers is bounded there
    "http": ("http.client", "http.failures"),
}


#: What starts programs. `adapters.host_programs` names the reason of each that is not `call_program`.
STARTERS = {
    *("adapters.host_programs", "adapters.long_program", "adapters.host_kubectl"),
    *("images.confinement.tool", "images.confinement.confined_process"),
    *("providers.libvirt.kvm_probe", "providers.libvirt.checkpoint.guard", "providers.libvirt.checkpoint.memory_file"),
}

#: What reads /proc of other processes and mounts, whoever asks.
PROCESS_READERS = {"processes"}


def name_of(path: Path) -> str:
    """`adapters.ssh`; a package goes by its own name, the top one by ''."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(module: str) -> Iterator[str]:
    """Every name imported, wherever in the file; `from iecpod.design import plan` counts as `iecpod.design.plan`."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("iecpod.") in MODULES else str(node.module)


def inner_imports(module: str) -> set[str]:
    found = {name.removeprefix("iecpod.") for name in imports_of(module) if name.startswith("iecpod.")}
    return found - {module}


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> int:
    found = [layer for layer, packages in enumerate(LAYERS) for package in packages if is_in(module, package)]
    assert found, f"{module} is in no layer"
    return found[0]


@pytest.mark.parametrize("module", [module for module in MODULES if module])
def test_a_module_imports_nothing_from_a_higher_layer(module: str) -> None:
    above = {name for name in inner_imports(module) if layer_of(name) > layer_of(module)}
    assert not above


@pytest.mark.parametrize(("one", "other"), [*SEPARATE, *((b, a) for a, b in SEPARATE)])
def test_separate_packages_stay_separate(one: str, other: str) -> None:
    met = {
        (module, name)
        for module in MODULES
        if is_in(module, one)
        for name in inner_imports(module)
        if is_in(name, other)
    }
    assert not met


@pytest.mark.parametrize("library", ONLY_IMPORTERS)
def test_a_library_has_one_importer(library: str) -> None:
    importers = {module for module in MODULES if any(name.split(".")[0] == library for name in imports_of(module))}
    assert importers or library == "libvirt_qemu", f"no module imports {library}: take it out of setup.cfg"
    assert {name for name in importers if not any(is_in(name, package) for package in ONLY_IMPORTERS[library])} == set()


def test_programs_are_started_by_few_modules() -> None:
    assert {module for module in MODULES if "subprocess" in imports_of(module)} == STARTERS
    reasons = " ".join(ast.get_docstring(ast.parse(MODULES["adapters.host_programs"].read_text())).split())  # type: ignore[union-attr]
    folders = ("providers/libvirt/checkpoint/", "host_programs.py")
    for module in STARTERS - {"adapters.host_programs"}:
        path = str(MODULES[module].relative_to(PACKAGE))
        named = (path, path.removeprefix("adapters/"), *(folder for folder in folders if path.startswith(folder)))
        assert any(f"`{name}`" in reasons for name in named), f"{path} is not named in adapters/host_programs.py"


def test_one_module_reads_the_process_table() -> None:
    """`/proc/self` alone, a file of the kernel's settings, and scripts for nodes are no look at other processes."""
    texts = {module: path.read_text() for module, path in MODULES.items()}
    pattern = re.compile(r"""Path\("/proc"\)|/proc/self/mountinfo""")
    assert {module for module, text in texts.items() if pattern.search(text)} == PROCESS_READERS


def test_pythons_own_opener_is_not_used() -> None:
    """It reads files as well, and what another server leads on to. Proxies of the environment are found by it."""
    assert {module for module in MODULES if "urllib.request" in imports_of(module)} == {"http.proxies"}


def test_one_module_looks_for_homes() -> None:
    """Not every user has one, and Python's own function raises what is reported as a bug."""
    assert {module for module, path in MODULES.items() if ".expanduser(" in path.read_text()} == {"home"}


def test_verbs_about_descriptors_reach_no_hypervisor() -> None:
    """Whatever they import, and what that imports, wherever in a file."""
    reached, left = set[str](), ["cli.checks"]
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left.extend(inner_imports(module) & set(MODULES))
    assert {"descriptors.schema", "descriptors.addresses.addressing"} <= reached
    packages = ("wiring", "ports", "provider", "providers", "render", "cni", "deploy", *_ADAPTERS)
    assert {module for module in reached if any(is_in(module, package) for package in packages)} == set()


_PRINTERS = {
    *("print", "click.echo", "click.secho", "click.echo_via_pager", "click.confirm", "click.prompt"),
    *("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer", "traceback.print_exc", "warnings.warn"),
}


def test_one_module_prints() -> None:
    """So that nothing reaches a terminal that `printable` has not seen; reporters have streams of their own."""
    printers = set()
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in _PRINTERS:
                printers.add(module)
    assert printers == {"cli.output"}


def test_there_are_no_cycles() -> None:
    graph = {module: inner_imports(module) for module in MODULES}
    assert list(TopologicalSorter(graph).static_order())


def siblings_that_meet() -> dict[str, dict[str, set[str]]]:
    """For each package, which of the modules and packages directly in it import which others of them."""
    met: dict[str, dict[str, set[str]]] = {}
    for module in filter(None, MODULES):
        for name in inner_imports(module):
            one, other = module.split("."), name.split(".")
            while one and other and one[0] == other[0]:
                one, other = one[1:], other[1:]
            if one and other:
                package = met.setdefault(module.removesuffix(".".join(one)), {})
                package.setdefault(one[0], set()).add(other[0])
    return met


def test_there_are_no_cycles_between_packages() -> None:
    """Modules without a cycle may be in packages that have one; then there is none to read first."""
    for package, graph in siblings_that_meet().items():
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            pytest.fail(f"iecpod.{package}: {' -> '.join(error.args[1])}")


def test_no_package_is_crowded() -> None:
    """A newcomer sees from the list of a folder what belongs there: 20 files, and `__init__`."""
    files = Counter(path.parent for path in MODULES.values())
    assert {str(folder.relative_to(PACKAGE)): count for folder, count in files.items() if count > 21} == {}


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_documents_name_files_that_exist(document: str) -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.py)`", (ROOT / document).read_text()))
    roots = (ROOT, PACKAGE, ROOT / "tests", PACKAGE / "providers" / "libvirt")
    assert {name for name in named if not any((root / name).exists() for root in roots)} == set()


def test_pytest_looks_into_every_directory_of_tests(pytestconfig: pytest.Config) -> None:
    """It passes over some names by default, such as `build`, and says nothing of it."""
    passed_over = pytestconfig.getini("norecursedirs")
    of_tests = {path.parent for path in TESTS.rglob("test_*.py")}
    names = {part for directory in of_tests for part in directory.relative_to(TESTS).parts}
    assert names and not {name for name in names for pattern in passed_over if fnmatch(name, pattern)}
