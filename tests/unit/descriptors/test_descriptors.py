"""A POD from its base: files found, read and checked, or refused with what to do about it."""

from __future__ import annotations

import copy
import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iecpod.descriptors.addresses.addressing import allocate
from iecpod.descriptors.encrypted import check_needed
from iecpod.descriptors.load_pod import check_descriptors, check_read_pod, load_pod
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import Descriptors, ReadPod, load_descriptors
from iecpod.errors import DescriptorError, ExitCode, Severity, UsageError
from iecpod.model import PodRef
from iecpod.yaml.document import Document, dump_yaml, load_yaml
from tests.unit.descriptors.broken_pod import ROOT, SCHEMAS_DIR, sound_text

REF = PodRef("lab", "pod")
OURS = [PodRef("arm", "virtual1"), PodRef("arm", "virtual2"), PodRef("local", "virtual1")]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base with the sound POD as lab/pod."""
    lab = tmp_path / "labs" / "lab"
    lab.mkdir(parents=True)
    (lab / "pod.yaml").write_text(sound_text("virtual.yaml"))
    (lab / "idf-pod.yaml").write_text(sound_text("idf-virtual.yaml"))
    return tmp_path


def refusal(base_uri: str, ref: PodRef = REF) -> list[tuple[str, str, str]]:
    """What is said of each file, and what to do."""
    with pytest.raises(DescriptorError) as caught:
        load_pod(base_uri, ref, SCHEMAS_DIR)
    assert caught.value.exit_code is ExitCode.DESCRIPTOR
    return [(Path(problem.file).name, problem.message, problem.remedy) for problem in caught.value.problems]


@pytest.mark.parametrize("ref", OURS, ids=str)
def test_our_pods_are_sound(ref: PodRef) -> None:
    pod = load_pod(str(ROOT / "pdf"), ref, SCHEMAS_DIR)
    assert pod.spec.ref == ref and len(pod.spec.pdf.nodes) == 3
    assert {warning.rule for warning in pod.warnings} <= {"storage-nic-beyond"}
    assert allocate(pod.spec, "fuel").problems == ()


def test_the_local_pod_warns_of_nothing_and_fits_a_laptop() -> None:
    pod = load_pod(str(ROOT / "pdf"), PodRef("local", "virtual1"), SCHEMAS_DIR)
    assert pod.warnings == ()
    assert [(node.cpus * node.cores, node.memory_bytes >> 20) for node in pod.spec.pdf.nodes] == [
        (2, 2560),
        (1, 1536),
        (1, 1536),
    ]
    assert {node.disks[0].capacity_bytes >> 30 for node in pod.spec.pdf.nodes} == {8}


@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost"])
def test_bases_on_disk(base: Path, prefix: str) -> None:
    pod = load_pod(f"{prefix}{base}", REF, SCHEMAS_DIR)
    assert pod.warnings == ()
    assert pod.spec.pdf_file == str(base / "labs/lab/pod.yaml")


def test_base_with_escaped_characters(tmp_path: Path, base: Path) -> None:
    odd = tmp_path / "a base"
    odd.mkdir()
    (base / "labs").rename(odd / "labs")
    assert load_descriptors(f"file://{str(odd).replace(' ', '%20')}", REF).descriptors.pdf.data


def test_missing_base(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    remedy = f"{nowhere} has no directory labs/: give another base with -b"
    assert refusal(str(nowhere)) == [("idf-pod.yaml", "no such file", remedy), ("pod.yaml", "no such file", remedy)]


def test_missing_lab(base: Path) -> None:
    (base / "labs" / "arm").mkdir()
    assert refusal(str(base), PodRef("amr", "pod"))[1] == ("pod.yaml", "there is no lab 'amr'", "labs there: arm, lab")


def test_missing_pod(base: Path) -> None:
    assert refusal(str(base), PodRef("lab", "pod2"))[1] == (
        "pod2.yaml",
        "lab 'lab' has no POD 'pod2'",
        "PODs there: pod",
    )


def test_missing_idf(base: Path) -> None:
    (base / "labs/lab/idf-pod.yaml").unlink()
    assert refusal(str(base)) == [
        ("idf-pod.yaml", "no such file", "a POD needs a PDF and an IDF: write it beside pod.yaml")
    ]


def test_directory_in_place_of_a_file(base: Path) -> None:
    (base / "labs/lab/pod.yaml").unlink()
    (base / "labs/lab/pod.yaml").mkdir()
    assert refusal(str(base)) == [("pod.yaml", "Is a directory", "make it a file that you may read")]


def test_a_file_in_place_of_a_base(base: Path) -> None:
    remedy = "give the directory that holds labs/ with -b; `iecpod validate FILE` checks a file alone"
    assert {found[1:] for found in refusal(str(base / "labs/lab/pod.yaml"))} == {("Not a directory", remedy)}


def test_a_directory_may_have_the_name_of_a_repository(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base.parent)
    for name in ("git@host:pods.git", "pods.git"):
        base.rename(name)
        load_descriptors(name, REF)
        load_descriptors((base.parent / name).as_uri(), REF)
        (base.parent / name).rename(base)


def test_broken_yaml_in_both_files_is_reported_at_once(base: Path) -> None:
    (base / "labs/lab/pod.yaml").write_text("a: 1\na: 2\n")
    (base / "labs/lab/idf-pod.yaml").write_text("a:\n\tb: 1\n")
    assert [(name, message) for name, message, _ in refusal(str(base))] == [
        ("idf-pod.yaml", "a tab is used for indentation, which YAML does not allow"),
        ("pod.yaml", "the key 'a' stands in this mapping a second time"),
    ]


@pytest.mark.parametrize(
    ("base_uri", "cause"),
    [
        ("ftp://example.org/pods", "descriptors cannot be read from 'ftp://example.org/pods'"),
        ("file://elsewhere/pods", "descriptors cannot be read from 'file://elsewhere/pods'"),
        ("http:///pods", "descriptors cannot be read from 'http:///pods'"),
        ("http://[::1/pods", "'http://[::1/pods' is not a URI"),
        ("https://me:secret@example.org/pods", "the base URI holds a user name"),
        (
            "https://example.org/pods?token=secret",
            "the base URI holds a query or a fragment, which no file below it has",
        ),
        ("https://example.org/pods#secret", "the base URI holds a query or a fragment, which no file below it has"),
        ("file:///pods?x=1", "the base URI holds a query or a fragment, which no file below it has"),
        *(
            (uri, "descriptors are not read from a git repository")
            for uri in (
                *("git://example.org/pods", "git+ssh://git@example.org/pods", "ssh://git@example.org/pods"),
                *(
                    "git@example.org:pods.git",
                    "https://example.org/pods.git",
                    "https://me:secret@example.org/pods.git/",
                ),
            )
        ),
    ],
)
def test_bases_that_cannot_be(base_uri: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_descriptors(base_uri, REF)
    assert caught.value.cause == cause
    assert "secret" not in caught.value.cause + caught.value.remedy


class Server(BaseHTTPRequestHandler):
    """Serves the sound POD, and what a bad server might."""

    def do_GET(self) -> None:
        files = {"/pods/labs/lab/pod.yaml": "virtual.yaml", "/pods/labs/lab/idf-pod.yaml": "idf-virtual.yaml"}
        if self.path in files:
            self._answer(200, sound_text(files[self.path]).encode())
        elif self.path.startswith("/huge/"):
            self._answer(200, b"x" * 6_000_000)
        elif self.path.startswith("/login/"):
            self._answer(200, b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><title>Sign in: to the lab</title></html>\n")
        elif self.path.startswith("/forbidden/"):
            self._answer(403, b"")
        elif self.path.startswith("/nonsense/"):
            self.wfile.write(b"nonsense\r\n\r\n")
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_base_over_http(server: str) -> None:
    pod = load_pod(f"{server}/pods/", REF, SCHEMAS_DIR)
    assert pod.spec.pdf_file == f"{server}/pods/labs/lab/pod.yaml"


@pytest.mark.parametrize(
    ("path", "message", "remedy"),
    [
        ("nowhere", "the server answers 404 Not Found", "check lab, POD and base URI (-b)"),
        ("forbidden", "the server answers 403 Forbidden", "check the base URI (-b) and your access"),
        ("nonsense", "it cannot be fetched: nonsense", "check the base URI (-b) and the network"),
        ("huge", "the file is larger than 5 MB", "split it"),
        (
            "login",
            "the server answered a web page, such as for a login, instead of a descriptor",
            "give the URI of raw files that can be read without a login (-b)",
        ),
    ],
)
def test_bad_answers(server: str, path: str, message: str, remedy: str) -> None:
    assert refusal(f"{server}/{path}")[0][1:] == (message, remedy)


def test_a_web_page_that_was_saved(base: Path) -> None:
    (base / "labs/lab/pod.yaml").write_text('<html lang="en">\n<head><title>Sign in: to the lab</title>')
    assert refusal(str(base))[0][1:] == (
        "it is a web page, such as for a login, and no descriptor",
        "fetch the raw file",
    )


def test_a_merge_key_is_no_web_page(base: Path) -> None:
    pdf = base / "labs/lab/pod.yaml"
    pdf.write_text("<<: {}\n" + pdf.read_text().removeprefix("---\n"))
    assert load_pod(str(base), REF, SCHEMAS_DIR).spec.pdf.nodes


def test_no_server() -> None:
    assert refusal("http://127.0.0.1:9/")[0][1].startswith("it cannot be fetched: ")


def test_every_problem_of_both_files_errors_first(base: Path) -> None:
    pdf, idf = base / "labs/lab/pod.yaml", base / "labs/lab/idf-pod.yaml"
    pdf.write_text(pdf.read_text().replace("memory: 4G", "memory: 4").replace("name: node-2", "name: node-1"))
    idf.write_text(idf.read_text().replace("mask: 16", "mask: 160").replace("gateway: 10.0.19.1", "gateway: 10.0.20.1"))
    with pytest.raises(DescriptorError) as caught:
        load_pod(str(base), REF, SCHEMAS_DIR)
    assert caught.value.cause == "the descriptors of POD lab/pod have 3 errors"
    assert [(problem.severity.value, problem.rule, problem.path) for problem in caught.value.problems] == [
        ("error", "schema-maximum", "idf.net_config.private.mask"),
        ("error", "schema-type", "nodes[0].node.memory"),
        ("error", "duplicate-node-name", "nodes[1].name"),
        ("warning", "gateway-outside", "idf.net_config.public.gateway"),
        ("warning", "role-of-unknown-node", "idf.kubespray.nodes_roles.node-2"),
    ]


SOUND = [json.loads(json.dumps(load_yaml(sound_text(name), "").data)) for name in ("virtual.yaml", "idf-virtual.yaml")]
ODD_SCALARS = (
    None,
    True,
    False,
    -1,
    0,
    1,
    3.7,
    4095,
    10**30,
    float("inf"),
    float("nan"),
    "",
    "x",
    "~",
    "1-0",
    "9" * 50,
)
ODD_TEXTS = ("0.0.0.0", "255.255.255.255", "10.0.19.130-10.0.19.131", "00:00:00:00:00:00", "ENC[PKCS7,x]", "\u2028")
ODD_CONTAINERS: tuple[object, ...] = (
    [],
    {},
    [None],
    {"a": None},
    [[]],
    {"": {}},
    ["x"] * 5,
    [{"interfaces": None}],
    {"interface": 3},
)
ODD = st.sampled_from((*ODD_SCALARS, *ODD_TEXTS, *ODD_CONTAINERS))


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


def replaced(data: Any, path: tuple[str | int, ...], value: object) -> Any:
    if not path:
        return value
    data = copy.deepcopy(data)
    parent = data
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    return data


MUTATIONS = [st.lists(st.tuples(st.sampled_from(places(data)), ODD), min_size=0, max_size=3) for data in SOUND]


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(MUTATIONS[0], MUTATIONS[1])
def test_no_descriptor_makes_a_traceback(
    pdf: list[tuple[tuple[str | int, ...], object]], idf: list[tuple[tuple[str | int, ...], object]]
) -> None:
    documents: list[Document] = []
    for name, data, edits in (("pdf", SOUND[0], pdf), ("idf", SOUND[1], idf)):
        for path, value in edits:
            try:
                data = replaced(data, path, value)
            except (KeyError, IndexError, TypeError):
                continue  # an edit before took the place away
        documents.append(load_yaml(dump_yaml(data), name))
    pair = Descriptors(*documents)
    problems = check_read_pod(ReadPod(name="", ref=REF, files=(), descriptors=pair), SCHEMAS_DIR).problems
    assert all(problem.line and problem.message and str(problem) for problem in problems)
    encrypted = check_needed(pair, with_hypervisor=True)
    if not encrypted and not any(problem.severity is Severity.ERROR for problem in problems):
        spec = parse_pod(REF, pair)
        for scheme in ("fuel", "compact"):
            allocate(spec, scheme)
        again = Descriptors(*(load_yaml(dump_yaml(document.data), document.file) for document in documents))
        assert dump_yaml(again.pdf.data) == dump_yaml(pair.pdf.data)
        assert dump_yaml(again.idf.data) == dump_yaml(pair.idf.data)
        assert parse_pod(REF, again) == spec


@settings(deadline=None)  # machines are shared
@given(st.recursive(ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)))
def test_no_data_makes_a_traceback(data: object) -> None:
    for wrap in (data, {"idf": data}, {"nodes": data}, {"idf": {"net_config": data, "fuel": data}}):
        document = load_yaml(dump_yaml(wrap), "x")
        assert check_descriptors(Descriptors(document, document), SCHEMAS_DIR)


def test_many_nodes_take_no_more_time_each() -> None:
    """Times of 30 and 600 nodes; a quadratic check would take twenty times as long for each node."""
    seconds = {}
    for count in (30, 600):
        pair = Descriptors(*(load_yaml(dump_yaml(data), "x") for data in many_nodes(count)))
        start = time.process_time()
        assert check_descriptors(pair, SCHEMAS_DIR) == []
        seconds[count] = (time.process_time() - start) / count
    assert seconds[600] < 3 * seconds[30]


def many_nodes(count: int) -> tuple[Any, Any]:
    pdf, idf = copy.deepcopy(SOUND)
    node = pdf["nodes"][2]
    for index in range(3, count):
        another = copy.deepcopy(node)
        another["name"] = f"node-{index + 1}"
        for nic in another["interfaces"]:
            nic["mac_address"] = "00:00:00:00:00:00"
        pdf["nodes"].append(another)
    idf["idf"]["fuel"]["network"]["node"] = [idf["idf"]["fuel"]["network"]["node"][0]] * count
    idf["idf"]["fuel"]["reclass"]["node"] = [idf["idf"]["fuel"]["reclass"]["node"][0]] * count
    del idf["idf"]["kubespray"]
    return pdf, idf


def test_descriptors_are_values() -> None:
    pair = load_descriptors(str(ROOT / "pdf"), OURS[0]).descriptors
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.pdf = pair.idf  # type: ignore[misc]
