"""Every rule that has a name: those over descriptors, those of reading them, and those of a deploy."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.descriptors.crosscheck import RULES
from iecpod.descriptors.rules.rule import RuleFacts
from iecpod.descriptors.schema import HARMLESS_RULES
from iecpod.errors import Severity
from iecpod.yaml.builder import MAX_BYTES, MAX_DEPTH, MAX_VALUES

_NO_VALUE = "it leaves no value that could be used"
_NO_FILE = "nothing of the file can be read"
_SIZES = f"{MAX_BYTES // 1_000_000} MB, {MAX_VALUES} values"
_YAML = "YAML 1.1 and 1.2"
_PHAROS = "the Pharos schemas"
_FUEL = "Fuel's allocation"
_KUBERNETES = "Kubernetes' own limits"
_HOST = "the host, in plan and deploy"
_MACHINE = "machines that are there, in plan and deploy"
_KUBEADM = "kubeadm, before you begin"

_READING = {
    "descriptor-missing": ("a POD needs a PDF and an IDF", "the layout of Pharos' labs/"),
    "descriptor-name": ("names of labs and PODs become names of libvirt objects", "libvirt, RFC 1123"),
    "dialect-kuberef": ("iecpod reads PDF 1.0 and IDF 0.1 only", "opnfv/kuberef"),
    "dialect-xci": ("iecpod reads PDF 1.0 and IDF 0.1 only", "opnfv/releng-xci"),
    "yaml-syntax": ("what is no YAML says nothing", _YAML),
    "yaml-encoding": ("descriptors are text in UTF-8 or UTF-16", _YAML),
    "yaml-too-large": ("files are read in bounded time and memory", _SIZES),
    "yaml-too-deep": ("files are read in bounded time and memory", f"{MAX_DEPTH} levels"),
    "yaml-several-documents": ("with two documents it is not clear which one is meant", _YAML),
    "yaml-duplicate-key": ("most readers silently take the last one", _YAML),
    "yaml-key": ("a key is plain text", _YAML),
    "yaml-merge": ("only mappings can be merged", "YAML's merge key"),
    "yaml-alias": ("an alias stands for something above it", _YAML),
    "yaml-tag": ("a tag of its own makes objects that no descriptor holds", _YAML),
}

#: Files that hold it are read all the same.
_READING_WARNS = {
    "yaml-misread": ("readers do not agree on what kind of value it is", _YAML),
}

#: Of `schema-KEYWORD`: what the keyword or format demands.
_SCHEMA = {
    "missing-key": ("a key that everybody reads is not there", _PHAROS),
    "type": ("text, number, list and mapping are not the same", _PHAROS),
    "enum": ("only some values have a meaning", _PHAROS),
    "const": ("only one value has a meaning", _PHAROS),
    "anyof": ("the value has one of several forms", "the release"),
    "oneof": ("of several keys exactly one is there", "the release"),
    "minimum": ("the number has a lower bound", _PHAROS),
    "maximum": ("the number has an upper bound", _PHAROS),
    "minitems": ("the list cannot be that short", _PHAROS),
    "minlength": ("the text cannot be that short", _PHAROS),
    "maxlength": ("the text cannot be that long", _PHAROS),
    "minproperties": ("the mapping cannot be that small", _PHAROS),
    "uniqueitems": ("the list holds nothing twice", _PHAROS),
    "size": ("memory and disks are a number with a unit", "QEMU's units"),
    "speed": ("speeds are a number with a unit", "descriptors that labs used"),
    "mac": ("a MAC is six pairs of hex digits", "IEEE 802"),
    "ipv4": ("an IPv4 address is four numbers from 0 to 255", "RFC 791"),
    "ipv4-interface": ("an IPv4 address, with its prefix length if any", "RFC 4632"),
    "ipv4-range": ("a range is FIRST-LAST, in that order", "Fuel's templates"),
    "cidr": ("a CIDR is a network with its prefix length", "RFC 4632"),
    "vlan": ("VLAN ids are 1 to 4094", "IEEE 802.1Q"),
    "nic-vlan": ("VLAN ids are 1 to 4094", "IEEE 802.1Q"),
    "http-url": ("servers are reached by it, and it stands in files of apt and of nodes", "RFC 3986"),
    "libvirt-uri": ("libvirt starts programs and reads files for other URIs", "libvirt, Connection URIs"),
    "management-address": ("libvirt starts programs and reads files for other URIs", "libvirt, Connection URIs"),
    "device": ("Linux names its NICs in 15 characters", "Linux (IFNAMSIZ)"),
    "bridge": ("Linux names its bridges in 15 characters", "Linux (IFNAMSIZ)"),
    "host": ("a host name or an IPv4 address", "RFC 1123"),
    "unknown-key": ("a misspelt key is silently not there", _PHAROS),
    "pattern": ("names have a form that others rely on", _PHAROS),
    "emails": ("people may have to write there", "RFC 5322"),
    "uri": ("people may want to open it", "RFC 3986"),
    "features": ("a NIC has dpdk, sriov or both", _PHAROS),
    "bus-address": ("NICs are found by it", "ethtool -i"),
    "installer": ("installers look for their names there", _PHAROS),
}

#: Of release files alone.
_RELEASE = {
    "release-kubernetes": ("kubeadm's configuration has changed since", "kubeadm's v1beta1"),
    "release-runtime": ("the kubelet's part for docker was removed in 1.24", "Kubernetes' dockershim"),
    "release-image": ("a digest is of what a registry has", "the release"),
    "release-date": ("plan, deploy and status compare it with the day", "the release"),
    "release-variant": ("one operating system has one meaning", "the release"),
    "release-version-mismatch": ("the cluster would not be of the version that is configured", "the release"),
    "release-repository": ("one repository would overwrite the other's file", "apt"),
    "release-helm": ("what is fetched is checked", "the release"),
    "release-manifest": ("--manifest names one manifest", "the release"),
    "container-repeated": ("one entry has all that is set in a container", "the release or --manifest-patch"),
}

_ADDRESSES = {
    "address-beyond-range": ("addresses after ip-range may be in use", _FUEL),
    "address-taken": ("two hosts with one address cannot communicate", _FUEL),
    "address-in-pool": ("a workload could get a node's address", "idf.fuel.network.public_pool"),
    "gateway-unreachable": ("nodes have no way out", _FUEL),
}

_DEPLOY = {
    "memory": ("guests that do not fit are killed", _HOST),
    "node-os": ("packages are made for one operating system", _MACHINE),
    "node-arch": ("programs run on one kind of processor", _MACHINE),
    "node-cgroup": ("the kubelet refuses cgroup v1 since 1.35", _MACHINE),
    "node-memory": ("what does not fit is killed", _KUBEADM),
    "node-cpus": ("kubeadm requires 2 on the first node", _KUBEADM),
    "node-disk": ("the kubelet evicts pods from a full disk", _MACHINE),
    "node-time": ("certificates and tokens are valid for some time", _MACHINE),
    "node-port": ("two programs cannot listen on one port", _KUBEADM),
    "node-hostname": ("nodes are identified by it", _KUBEADM),
    "node-mac": ("two machines with one MAC cannot communicate", _KUBEADM),
    "node-product-uuid": ("nodes are identified by it", _KUBEADM),
    "node-machine-id": ("nodes are identified by it", _MACHINE),
    "node-device": ("pod networks find mgmt by its interface", _MACHINE),
    "node-mtu": ("larger packets are lost there", _MACHINE),
    "node-network": ("routes of pods need neighbours", _MACHINE),
    "node-path": ("nodes talk to each other on these ports", _MACHINE),
    "disk-full": ("disks of guests grow while they run", _HOST),
    "pod-cidr-overlap": ("an address is then in two networks", _HOST),
    "service-cidr-overlap": ("an address is then in two networks", _HOST),
    "idf-network-overlap": ("an address is then in two networks", _HOST),
    "bridge-mtu": ("larger packets are lost there", _HOST),
    "bridge-of-libvirt": ("libvirt gives out its addresses and takes it away", _HOST),
    "registry-mirror-unused": ("images would come from upstream after all", "docker's daemon.json"),
}
_DEPLOY_WARNS = {
    "no-way-out": ("what is in none of its networks a node cannot reach", "the IDF's gateways"),
    "node-has-runtime": ("what runs under it is restarted", _MACHINE),
    "key-not-pinned": ("the server at its address decides what nodes install", "apt-secure(8)"),
    "helm-not-pinned": ("one server gives the program and its digest", "the release"),
    "release-builds-as-root": ("scripts of packages run on this host as root", "mmdebstrap(1)"),
    "release-unsupported": ("faults that are found in it are not fixed", "kubernetes.io, Patch Releases"),
    "plain-http": ("anybody on the way can change it", "RFC 9110"),
}
#: With the reason why nothing can be built then.
_DEPLOY_FIXED = {
    "address-not-stated": ("a machine that is there has its address", _MACHINE, "nodes would have no address"),
    "node-name": ("it is the name of the cluster's node", "RFC 1123", "Kubernetes would refuse the node"),
    "node-address": ("nodes know each other by it", _MACHINE, "nothing would answer there"),
    "node-login": ("iecpod logs in and runs commands as root", _MACHINE, "nothing could be done there"),
    "node-systemd": ("the kubelet is a unit of it", _MACHINE, "nothing could run the kubelet"),
    "node-program": ("steps on nodes use them", _MACHINE, "the steps would fail"),
    "node-module": ("pod networks and containers use them", _KUBERNETES, "no container would start"),
    "node-swap": ("the kubelet refuses swap", _KUBERNETES, "the kubelet would not start"),
    "node-has-cluster": ("iecpod resets only what it made", _MACHINE, "what is not iecpod's is never replaced"),
    "node-of-another-pod": ("a machine is a node of one POD", _MACHINE, "what is not the POD's is never replaced"),
    "dhcp-range-too-wide": ("libvirt gives out addresses of one /16", "libvirt", "libvirt would refuse the network"),
    "address-exhausted": ("every node needs an address", _FUEL, "nodes would have no address"),
    "node-not-virtual": ("iecpod makes VMs", _HOST, "iecpod installs no machines"),
    "pod-cidr-syntax": ("pods get their addresses from it", _KUBERNETES, _NO_VALUE),
    "service-cidr-syntax": ("services get their addresses from it", _KUBERNETES, _NO_VALUE),
    "pod-cidr-too-small": ("every node needs a /24 of it", _KUBERNETES, "nodes would have no pod addresses"),
    "pod-cidr-too-large": ("a controller refuses it", _KUBERNETES, "Kubernetes would not start"),
    "service-cidr-size": ("the API server refuses it", _KUBERNETES, "Kubernetes would not start"),
    "cni-not-in-release": ("the release brings no such pod network", "the release", "there is nothing to install"),
    "calico-manifest": ("the manifest is patched in known places", "Calico's releases", "there is nothing to patch"),
    "flannel-manifest": ("the manifest is patched in known places", "flannel's releases", "there is nothing to patch"),
    "repository-withdrawn": ("its packages have left the public", "the release", "there is nothing to install"),
    "manifest-missing": ("with a bundle, nothing is fetched", "the bundle", "there is nothing to install"),
    "manifest-not-pinned": ("a manifest is the cluster's administrator", "the release", "anybody could change it"),
    "registry-mirror-path": ("docker refuses such a mirror", "docker's daemon.json", "docker would not start"),
    "image-missing": ("nodes that reach no registry run what they have", "manifests", "pods of it could not start"),
    "image-archive-arch": ("programs run on one kind of processor", _HOST, "nothing of the archive would run"),
    "image-archive-conflict": ("a name is that of one image", "the archives", "it is not clear which one would run"),
    "image-archive-damaged": ("all that a node gets is checked", "the cache", "its content is unknown"),
    "manifest-patch": ("what is set in a manifest is in known places", "--manifest-patch", "there is nothing to set"),
    "bundle-arch": ("programs run on one kind of processor", _HOST, "nothing of the bundle would run"),
    "bundle-damaged": ("all that a node gets is checked", "the bundle's manifest", "its content is unknown"),
    "bundle-digest": ("a digest that was given names one bundle", "--bundle-digest", "it is another bundle"),
    "bundle-signature": ("only some are trusted with bundles", "--bundle-signers", "anybody could have made it"),
    "emulator-missing": ("guests run in QEMU", _HOST, "nothing could run the nodes"),
    "firmware-missing": ("guests boot with UEFI", _HOST, "nothing could boot the nodes"),
    "kvm-not-accessible": (
        "QEMU does not run as root",
        "/dev/kvm",
        "libvirt would refuse the guests",
    ),
    "name-conflict": ("iecpod touches only what it made", _HOST, "what is not iecpod's is never replaced"),
    "trunk-bridges-differ": ("one NIC is one wire", _HOST, "the NIC could be plugged into one of them only"),
    "vlan-links": ("frames get their tags between two bridges", _HOST, "no node would be reached there"),
    "changed-in-place": ("deploy does not replace what runs", _HOST, "what runs is never replaced"),
    "node-left-pdf": ("a deploy removes nodes on request only", "--prune of deploy", "what runs is never removed"),
    "nothing-to-reuse": ("-f takes machines as they are", "-f of deploy", "there is nothing to deploy to"),
    "kubeadm-cpus": ("kubeadm requires 2 there", "kubeadm's check NumCPU", "kubeadm would refuse to begin"),
    "kubeadm-memory": ("kubeadm requires 1700 MB there", "kubeadm's check Mem", "kubeadm would refuse to begin"),
    "bridge-name-taken": ("libvirt makes the bridge", _HOST, "two devices cannot have one name"),
    "bridge-exists": ("libvirt makes the bridge", _HOST, "libvirt refuses a bridge that is there"),
    "checkpoint-damaged": ("a checkpoint is restored as it was saved", "its digests", "its content is unknown"),
    "checkpoint-differs": ("a checkpoint is of one POD", "its inputs", "the POD would be another one"),
    "checkpoint-machines": ("all machines are saved at one instant", _HOST, "machines would not fit together"),
    "checkpoint-pod-stands": ("a restore makes all machines", "--replace of restore", "what runs is never replaced"),
}


def _named() -> Iterator[RuleFacts]:
    error = Severity.ERROR
    for name, (reason, source) in _READING.items():
        yield RuleFacts(name, error, reason, source, fixed=_NO_FILE)
    for name, (reason, source) in _READING_WARNS.items():
        yield RuleFacts(name, Severity.WARNING, reason, source)
    yield RuleFacts("encrypted", error, "what is encrypted needs its keys", "hiera-eyaml", fixed=_NO_VALUE)
    for keyword, (reason, source) in _SCHEMA.items():
        name = f"schema-{keyword}"
        yield RuleFacts(name, error, reason, source, fixed="" if name in HARMLESS_RULES else _NO_VALUE)
    for name, (reason, source) in _RELEASE.items():
        yield RuleFacts(name, error, reason, source, fixed="a release is not built in parts")
    yield from RULES
    for name, (reason, source) in {**_ADDRESSES, **_DEPLOY}.items():
        yield RuleFacts(name, error, reason, source)
    for name, (reason, source) in _DEPLOY_WARNS.items():
        yield RuleFacts(name, Severity.WARNING, reason, source)
    for name, (reason, source, fixed) in _DEPLOY_FIXED.items():
        yield RuleFacts(name, error, reason, source, fixed=fixed)


RULE_BOOK = {rule.name: rule for rule in _named()}
