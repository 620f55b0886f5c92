"""The machines of a POD as they were met: kept in the POD's directory, so that later commands find them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Address

from iecpod.errors import HostError, IecpodError, NodeError
from iecpod.outside_json import Json, parse_json
from iecpod.ports import NodeEndpoint
from iecpod.providers.existing.dependencies import ExistingTools
from iecpod.providers.existing.host_keys import judge_host_key
from iecpod.providers.existing.refused_logins import attempt_on_nodes
from iecpod.ssh_login import HostKey, check_user

#: In the POD's directory.
MACHINES_NOTE = "machines.json"
_REFUSED_REMEDY = (
    "its authorized_keys was changed: run deploy again with --key, --ask-password or --password-file, which puts the "
    "POD's key back"
)
_MISMATCH_REMEDY = (
    "another machine uses this address, or this one got other keys: find out which; if the new key is right, remove "
    "the machine's entry from machines.json in the POD's directory, and run deploy with --host-key"
)
_REMEDY = "remove that file, and run `iecpod deploy` with --accept-new-host-keys or --host-key again"


@dataclass(frozen=True, slots=True)
class MetMachine:
    """A machine that was met under a host key; `is_changed` once something was written on it."""

    hostname: str
    address: str
    user: str
    host_key: str
    is_changed: bool = False


@dataclass(slots=True)
class MetMachines:
    """By host name. What is found out is written down only when it is to be kept."""

    tools: ExistingTools
    _met: dict[str, MetMachine] = field(default_factory=dict)
    _is_read: bool = False

    def all(self) -> Mapping[str, MetMachine]:
        if not self._is_read:
            self._met |= _read(self.tools.note_files.read_note(MACHINES_NOTE))
            self._is_read = True
        return self._met

    def meet(self, addresses: Mapping[str, IPv4Address], user: str, *, keep: bool) -> dict[str, IecpodError]:
        """Looks which host keys unknown machines have, and whether they are believed.

        By host name, `NodeUnreachable`, and `NodeError` for a key that is not believed. Only where there is no error
        is anything written down.
        """
        known, moved = self.all(), self._moved(addresses)
        refused = {name: error for name, error in self.tools.refused.items() if name in addresses}
        new = [
            name
            for name, address in addresses.items()
            if name not in moved
            and name not in refused
            and (name not in known or (known[name].address, known[name].user) != (str(address), user))
        ]
        found, failures = attempt_on_nodes(new, lambda name: self._meet(name, str(addresses[name])))
        changed = {name for name in new if name in known and known[name].is_changed}
        self._met |= {
            name: MetMachine(name, str(addresses[name]), user, key.line, name in changed) for name, key in found.items()
        }
        failures = {**refused, **moved, **failures}
        if keep and found and not failures:
            self.keep()
        return failures

    def _moved(self, addresses: Mapping[str, IPv4Address]) -> dict[str, IecpodError]:
        """Names that would become other machines', while those that have them are to be put back."""
        met = self.all()
        return {
            name: NodeError(
                name,
                f"it was deployed at {met[name].address}, and is {address} now",
                "correct the address; for another machine, take the node out of the PDF and run `iecpod deploy "
                "--prune` first, then add it under another name",
            )
            for name, address in addresses.items()
            if name in met and met[name].is_changed and met[name].address != str(address)
        }

    def rename(self, names: Mapping[str, str]) -> None:
        """Machines that were met by their addresses get the names of nodes."""
        self._met = {
            names.get(name, name): replace(met, hostname=names.get(name, name)) for name, met in self.all().items()
        }

    def note_changed(self, hostname: str) -> None:
        self._met[hostname] = replace(self.all()[hostname], is_changed=True)
        self.keep()

    def surplus(self, hostnames: tuple[str, ...]) -> tuple[str, ...]:
        """Machines that were changed for nodes that the POD has no more."""
        return tuple(name for name, met in self.all().items() if met.is_changed and name not in hostnames)

    def forget(self, hostnames: tuple[str, ...]) -> None:
        self._met = {name: met for name, met in self.all().items() if name not in hostnames}
        self.keep()

    def keep(self) -> None:
        listed = [asdict(met) for _, met in sorted(self._met.items())]
        self.tools.note_files.write_note(MACHINES_NOTE, json.dumps({"machines": listed}, indent=2) + "\n")

    def endpoints(self, hostnames: tuple[str, ...] | None = None) -> dict[str, NodeEndpoint]:
        met, way = self.all(), self.tools.access.direct_way
        return {
            name: NodeEndpoint(
                *(name, IPv4Address(met[name].address), met[name].user, met[name].host_key, way),
                refused_remedy=_REFUSED_REMEDY,
                mismatch_remedy=_MISMATCH_REMEDY,
            )
            for name in (hostnames if hostnames is not None else tuple(met))
            if name in met
        }

    def _meet(self, name: str, address: str) -> HostKey:
        known, revoked = self.tools.access.known_host_keys(address)
        offered = self.tools.access.offered_host_key(name, address, tuple(sorted({key.type for key in known})))
        if judge_host_key(name, address, offered, self.tools.access.login, known=known, revoked=revoked):
            self.tools.run.reporter.warn(f"{name}: new host key of {address} is taken on trust: {offered.fingerprint}")
        return offered


def _read(content: bytes | None) -> dict[str, MetMachine]:
    if content is None:
        return {}

    def refuse(why: str) -> HostError:
        return HostError(f"{MACHINES_NOTE} of the POD does not say which machines it has: {why}", _REMEDY)

    return {met.hostname: met for met in map(_machine(refuse), parse_json(content, refuse).entries("machines"))}


def _machine(refuse: Callable[[str], HostError]) -> Callable[[Json], MetMachine]:
    def read(entry: Json) -> MetMachine:
        try:
            return MetMachine(
                hostname=entry.text("hostname"),
                address=str(IPv4Address(entry.text("address"))),
                user=check_user(entry.text("user")),
                host_key=HostKey.parse(entry.text("host_key")).line,
                is_changed=entry.flag("is_changed", False),
            )
        except ValueError as error:
            raise refuse(str(error)) from error

    return read
