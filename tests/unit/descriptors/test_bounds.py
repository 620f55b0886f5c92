"""Large and hostile descriptors are read or refused in bounded time and memory, and the docs name the bounds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.descriptors.load_pod import check_descriptors
from iecpod.descriptors.pod_files import Descriptors
from iecpod.errors import DescriptorError
from iecpod.yaml.builder import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from iecpod.yaml.document import load_yaml
from tests.unit.descriptors.broken_pod import ROOT, SCHEMAS_DIR, sound_text

SECONDS_PER_100_KB = 2
MOST_MIB = 512
PDF, IDF = sound_text("virtual.yaml"), sound_text("idf-virtual.yaml")
NODE = PDF[PDF.index("  - name: node-3") :].replace(
    "*worker", "{type: virtual, vendor: a, model: a, arch: x86_64, cpus: 1, cpu_cflags: a, cores: 1, memory: 2G}"
)


def repeated(text: str) -> Callable[[int], str]:
    return lambda size: text * (size // len(text))


def numbered(text: str) -> Callable[[int], str]:
    return lambda size: "".join(text.replace("#", str(number)) for number in range(size // (len(text) + 6)))


#: Where what is repeated goes: a place of the sound PDF or IDF, or a file of its own.
SHAPES: dict[str, tuple[str, str, Callable[[int], str]]] = {
    "nodes": (PDF, "", numbered(NODE.replace("node-3", "node-#"))),
    "one node": (PDF, "", repeated(NODE)),
    "NICs": (PDF, "      - {name: nic2, mac_address: ", repeated("      - {name: nic1, mac_address: x}\n")),
    "nodes that are numbers": (PDF, "  - name: node-1", repeated("  - 1\n")),
    "unknown keys": (PDF, "details:", numbered("k#: 1\n")),
    "nearly known keys": (PDF, "  pod_owner:", numbered("  pod_owners#: 1\n")),
    "networks": (IDF, "    oob:", numbered("    n#: {network: 10.0.0.0, mask: 8, interface: 1, dns: 0.0.0.0}\n")),
    "keys of a network": (IDF, "      interface: 3\n", numbered("      gatewa#: 1\n")),
    "roles": (IDF, "      opnfv: [opnfv]", numbered("      n#: [x]\n")),
    "device names": (IDF, "enp1s0, enp2s0", repeated("enp1s0, ")),
    "name servers": (IDF, "9.9.9.9, ", repeated("0.0.0.0, ")),
    "a name": (PDF, "node-2", repeated("x")),
    "a size": (PDF, "4G", repeated("9")),
    "mail addresses": (PDF, "team@", repeated("a@")),
    "VLANs": (PDF, "native|300", repeated("native|")),
    "features": (PDF, "dpdk|sriov", repeated("dpdk|")),
    "encrypted parts": (PDF, "secret", repeated("ENC[PKCS7,AAAA]")),
    "open encrypted parts": (PDF, "secret", repeated("ENC[")),
    "lists": ("", "", repeated("[")),
    "lists of lists": ("", "", repeated("- ")),
    "explicit keys": ("", "", repeated("? ")),
    "duplicate keys": ("", "", repeated("k: 1\n")),
    "keys": ("", "", numbered("k#: 1\n")),
    "anchors": ("", "", numbered("- &a# x\n")),
    "merges": ("- &a {b: 1, c: 2}\n", "", repeated("- {<<: *a}\n")),
    "aliases": ("- &a x\n", "", repeated("- *a\n")),
    "numbers of base 60": ("", "", repeated("- 1:2:3\n")),
    "quotes": ("", "", repeated("'")),
    "documents": ("", "", repeated("---\n")),
    "tabs": ("", "", repeated("\t")),
    "comments": ("", "", repeated("# x\n")),
}


def write(shape: str, size: int) -> tuple[str, str]:
    """PDF and IDF of about that many bytes."""
    text, place, make = SHAPES[shape]
    assert place in text
    index = text.index(place) if place else len(text)
    large = text[:index] + make(size - len(text)) + text[index:]
    return (PDF, large) if text is IDF else (large, IDF)


def read(pdf: str | bytes, idf: str | bytes) -> float:
    """CPU seconds until all is said."""
    start = time.process_time()
    try:
        problems = check_descriptors(Descriptors(load_yaml(pdf, "pdf"), load_yaml(idf, "idf")), SCHEMAS_DIR)
    except DescriptorError as error:
        problems = list(error.problems)
    assert all(str(problem) for problem in problems)
    return time.process_time() - start


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_takes_long(shape: str) -> None:
    assert read(*write(shape, 100_000)) < SECONDS_PER_100_KB


@settings(deadline=None, max_examples=60)
@given(
    fragment=st.text("-[]{}:,&*!|>'\"#%@`?<~a0 \n\t", min_size=1, max_size=12),
    shape=st.sampled_from([name for name, (text, _, _) in SHAPES.items() if text]),
)
def test_no_repeated_text_takes_long(fragment: str, shape: str) -> None:
    text, place, _ = SHAPES[shape]
    index = text.index(place)
    large = text[:index] + fragment * (100_000 // len(fragment)) + text[index:]
    assert read(*((PDF, large) if text is IDF else (large, IDF))) < SECONDS_PER_100_KB


CHILD = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from tests.unit.descriptors.test_bounds import read, write
pdf, idf = write(sys.argv[2], int(sys.argv[3]))
seconds = read(pdf, idf)
print(json.dumps([len(pdf), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
"""


@pytest.mark.parametrize("shape", ["nodes", "keys", "nodes that are numbers"])
def test_the_largest_files(shape: str) -> None:
    """In a process of their own, as the memory that one has used is never less again."""
    argv = [sys.executable, "-c", CHILD, str(ROOT), shape, str(MAX_BYTES - 1000)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    size, seconds, mib = json.loads(done.stdout)
    assert MAX_BYTES / 2 < size <= MAX_BYTES
    assert seconds < SECONDS_PER_100_KB * MAX_BYTES / 100_000
    assert mib < MOST_MIB


def test_the_docs_name_the_bounds() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    values = f"{MAX_VALUES:,}".replace(",", " ")
    assert (
        f"at most {MAX_BYTES // 1_000_000} MB, {values} values with its aliases expanded, and {MAX_DEPTH} levels"
        in readme
    )


def test_a_file_of_five_megabytes_is_read_and_not_more() -> None:
    assert load_yaml("a" * MAX_BYTES, "").data == "a" * MAX_BYTES
    with pytest.raises(DescriptorError) as caught:
        load_yaml(b"a" * (MAX_BYTES + 1), "pod.yaml")
    assert caught.value.problems[0].message == "the file is larger than 5 MB"
