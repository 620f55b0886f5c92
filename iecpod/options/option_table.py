"""The options of a POD, each declared once: the table that command line, saved options, plan and status follow.

It loads with the command line: `values.py` imports heavier modules where they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from iecpod.hypervisor_uri import HypervisorUri, parse_connect
from iecpod.options.choices import BundleVia, Encapsulation, ProviderName, VirtType
from iecpod.options.option import CommandOption, Option, Source, declare, forget
from iecpod.options.site import Site
from iecpod.options.value_readers import (
    join_supply,
    parse_digest,
    parse_memory_mib,
    parse_signers,
    parse_virt_type,
    read_addressing,
    read_bundle,
    read_image_archives,
    read_manifest_patch,
    read_supply,
    supply_of_other_release,
)
from iecpod.outside_json import Json
from iecpod.ssh_login import check_user

if TYPE_CHECKING:
    from iecpod.descriptors.addresses.addressing import Scheme
    from iecpod.release.container_environment import ContainerEnvironment
    from iecpod.release.mirrors import Supply

DEFAULT_POD_CIDR = "100.100.0.0/16"
DEFAULT_SERVICE_CIDR = "172.16.1.0/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """Values by option; None where one is left open. The same type for what is given, saved, a lab's, and chosen.

    `user` is whom existing machines are logged in to as, where that is not the release's. A `virt_type` that is left
    open is found out. `vcpus` and `memory_mib` are sizes of every node, instead of those of the PDF. `disposable` is
    whether a crash of the host may cost the POD. Without `bundle_via` the release has no bundle, without
    `calico_encapsulation` there is no Calico. `bundle` is the digest of one that was given, `bundle_digest` the one
    that was demanded, `bundle_signers` the file of those who may sign it. `image_archives` are digests of files that
    were given, `manifest_patch` is what was read of one. `sources` are those of the values that are set, by name.
    """

    provider: ProviderName | None = declare(
        lambda found: ProviderName(found.as_text()),
        default=ProviderName.LIBVIRT,
        fixed="by provider",
        command=CommandOption(
            flags=("--provider",),
            parse=ProviderName,
            choices=tuple(name.value for name in ProviderName),
            help="Where machines come from: domains of libvirt, or machines that have their operating system already, "
            "at the addresses that the PDF gives their interfaces. Default: as deployed, or libvirt.",
        ),
    )
    uri: HypervisorUri | None = declare(
        lambda found: parse_connect(found.as_text()),
        fixed="on",
        label="hypervisor",
        makes_machines=True,
        command=CommandOption(
            flags=("-c", "--connect"),
            parse=parse_connect,
            help="qemu:///system or another libvirt URI of this machine, or `embedded` for a libvirtd of the POD's "
            "own. Default: the nodes' remote_management.address; lab local: embedded.",
        ),
    )
    user: str | None = declare(
        lambda found: check_user(found.as_text()),
        label="user",
        command=CommandOption(
            flags=("--user",),
            parse=check_user,
            kind="user",
            help="User of existing machines, who may run sudo without a password.",
        ),
    )
    addressing: Scheme | None = declare(
        read_addressing,
        default="fuel",
        fixed="with addresses",
        label="addresses",
        makes_machines=True,
        command=CommandOption(
            flags=("--addressing",),
            choices=("fuel", "compact"),
            help="compact: nodes in a row from the start of ip-range. Default: as deployed, or fuel.",
        ),
    )
    base_uri: str | None = declare(
        Json.as_text,
        command=CommandOption(
            flags=("-b", "--base-uri"),
            help="Path or URI that holds labs/. Default: the descriptors of iecpod.",
        ),
    )
    scenario: str | None = declare(
        Json.as_text,
        default="k8-calico-iec-noha",
        fixed="as scenario",
        label="scenario",
        command=CommandOption(
            flags=("-s", "--scenario"),
            help="Scenario. Default: k8-calico-iec-noha; lab local: k8-kube-router-iec-noha, or k8-bridge-iec-noha.",
        ),
    )
    release: str | None = declare(
        Json.as_text,
        default="k8s-1.37",
        fixed="with release",
        label="release",
        of_other_release=forget,
        command=CommandOption(
            flags=("--release",),
            help="Release, by name or file. Default: k8s-1.37; lab local: k8s-1.37-go, or debian12 as a fallback.",
        ),
    )
    base_os: str | None = declare(
        Json.as_text,
        fixed="on base image",
        label="base image",
        of_other_release=forget,
        command=CommandOption(
            flags=("-o", "--os", "base_os"),
            metavar="OS",
            help="Base image, of those that the release has: `iecpod releases list`.",
        ),
    )
    pod_cidr: str | None = declare(
        Json.as_text,
        default=DEFAULT_POD_CIDR,
        fixed="with the pod CIDR",
        label="pod CIDR",
        command=CommandOption(
            flags=("--pod-cidr",), help=f"Addresses of pods. Default: as deployed, or {DEFAULT_POD_CIDR}."
        ),
    )
    service_cidr: str | None = declare(
        Json.as_text,
        default=DEFAULT_SERVICE_CIDR,
        fixed="with the service CIDR",
        label="service CIDR",
        command=CommandOption(
            flags=("--service-cidr",),
            help=f"Addresses of services. Default: as deployed, or {DEFAULT_SERVICE_CIDR}.",
        ),
    )
    virt_type: VirtType | None = declare(
        lambda found: VirtType(found.as_text()),
        label="virtualization",
        command=CommandOption(
            flags=("--virt-type",),
            parse=parse_virt_type,
            choices=("auto", *(kind.value for kind in VirtType)),
            default="auto",
            help="auto: as deployed, or KVM if it boots the image's kernel, else emulation (qemu).",
        ),
    )
    vcpus: int | None = declare(
        Json.as_integer,
        label="vCPUs",
        makes_machines=True,
        command=CommandOption(
            flags=("--vcpus",), bounds=(1, 512), help="Processors of every node, instead of the PDF's."
        ),
    )
    memory_mib: int | None = declare(
        Json.as_integer,
        label="memory",
        unit="MiB",
        makes_machines=True,
        command=CommandOption(
            flags=("--memory",),
            parse=parse_memory_mib,
            kind="size",
            help="Memory of every node, such as 2G, instead of the PDF's.",
        ),
    )
    disposable: bool | None = declare(
        Json.as_flag,
        default=False,
        label="disposable",
        command=CommandOption(
            flags=("--disposable/--no-disposable",),
            help="Whether a crash of the host may cost the POD, since its disks are not flushed, which is faster. "
            "Default: as deployed, or no; lab local: yes.",
        ),
    )
    bundle_via: BundleVia | None = declare(
        lambda found: BundleVia(found.as_text()),
        label="delivery",
        command=CommandOption(
            flags=("--bundle-via",),
            parse=BundleVia,
            choices=tuple(way.value for way in BundleVia),
            help="How nodes get a release's bundle: in their image, on a read-only disk that they share, or over SSH. "
            "Default: as deployed, or the first of these that is possible.",
        ),
    )
    calico_encapsulation: Encapsulation | None = declare(
        lambda found: Encapsulation(found.as_text()),
        fixed="with Calico's encapsulation",
        label="encapsulation",
        command=CommandOption(
            flags=("--calico-encapsulation",),
            parse=Encapsulation,
            choices=tuple(way.value for way in Encapsulation),
            help="How Calico carries packets from node to node; vxlan needs no BIRD. Default: as deployed, or the "
            "release's.",
        ),
    )
    bundle: str | None = declare(read_bundle, of_other_release=forget)
    bundle_digest: str | None = declare(
        Json.as_text,
        of_other_release=forget,
        command=CommandOption(
            flags=("--bundle-digest",),
            parse=parse_digest,
            kind="sha256",
            metavar="SHA256",
            help="Refuse a bundle of another digest; `bundle show` prints it where it was built.",
        ),
    )
    bundle_signers: str | None = declare(
        Json.as_text,
        command=CommandOption(
            flags=("--bundle-signers",),
            parse=parse_signers,
            is_path=True,
            metavar="FILE",
            variable="IECPOD_BUNDLE_SIGNERS",
            help="Refuse a bundle that none of these has signed: ssh-keygen's file of allowed signers.",
        ),
    )
    image_archives: tuple[str, ...] | None = declare(read_image_archives, default=(), of_other_release=forget)
    manifest_patch: tuple[ContainerEnvironment, ...] | None = declare(
        read_manifest_patch, default=(), fixed="with the manifest patch", of_other_release=forget
    )
    supply: Supply | None = declare(read_supply, join=join_supply, of_other_release=supply_of_other_release)
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)

    def source(self, name: str) -> Source | None:
        """None where the option is left open."""
        return self.sources.get(name) if getattr(self, name) is not None else None

    def changed(self, source: Source, **values: Any) -> PodOptions:
        """With other values, whose source this is; a value that is the same keeps its own."""
        other = [name for name, value in values.items() if getattr(self, name) != value]
        return replace(self, **values, sources={**self.sources, **dict.fromkeys(other, source)})

    def of_other_release(self) -> PodOptions:
        """What holds for another release, too."""
        kept = {
            name: option.of_other_release(getattr(self, name))
            for name, option in OPTIONS.items()
            if option.of_other_release and getattr(self, name) is not None
        }
        return replace(self, **kept)

    @property
    def makes_machines(self) -> bool:
        """Whether iecpod makes the POD's machines; true where the provider is not chosen yet."""
        return self.provider is None or self.provider.makes_machines

    @property
    def site(self) -> Site | None:
        """None where it is not known yet."""
        if self.provider is not None and not self.makes_machines:
            return Site(self.provider)
        return Site(ProviderName.LIBVIRT, self.uri) if self.uri is not None else None

    def shown(self) -> Iterator[tuple[str, str, Source]]:
        """Label, value and source of what `plan` and `status` say of options."""
        for name, option in OPTIONS.items():
            source = self.source(name)
            if option.label and source is not None:
                yield option.label, option.shown(getattr(self, name)), source


#: By name; their order is that of the saved options.
OPTIONS: Mapping[str, Option] = {
    known.name: known.metadata["option"] for known in fields(PodOptions) if "option" in known.metadata
}

DEFAULTS = PodOptions(**{name: option.default for name, option in OPTIONS.items()})
