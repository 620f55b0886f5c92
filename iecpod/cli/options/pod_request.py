"""What the options of a verb about a POD become."""

from __future__ import annotations

from typing import Any

from iecpod.cli.options.mirrors import make_supply
from iecpod.cli.options.pod_options import given_options
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.pods.request import GivenFiles, PodRequest
from iecpod.ssh_login import Login


def make_request(layout: Layout, parameters: dict[str, Any]) -> PodRequest:
    return PodRequest(
        ref=PodRef(parameters["lab"], parameters["pod"]),
        options=given_options(parameters, supply=make_supply(parameters)),
        files=GivenFiles(
            bundle=parameters.get("bundle_file"),
            image_archives=parameters.get("image_archives", ()),
            manifest_patch=parameters.get("manifest_patch"),
        ),
        login=parameters.get("login") or Login(),
        eyaml_keys=(parameters.get("eyaml_private_key"), parameters.get("eyaml_public_key")),
        demoted=_demoted(parameters.get("demote")),
        limits=parameters.get("timeout", ()),
        lock_seconds=parameters.get("wait_lock", 0.0),
        naming=_naming(parameters),
        until=parameters.get("until"),
        may_create=parameters.get("may_create", True),
        prune=parameters.get("prune", False),
    )


def _naming(parameters: dict[str, Any]) -> tuple[str, ...]:
    """Arguments that another verb needs, too, to find the POD."""
    flags = {"lab": "-l", "pod": "-p", "base_uri": "-b", "scenario": "-s", "release": "--release", "connect": "-c"}
    flags["storage_dir"] = "-S"
    flags |= {f"eyaml_{kind}_key": f"--eyaml-{kind}-key" for kind in ("private", "public")}
    return tuple(part for key, flag in flags.items() if parameters.get(key) for part in (flag, str(parameters[key])))


def _demoted(names: tuple[str, ...] | None) -> frozenset[str]:
    """Verbs without the option are those of a POD that lives: what its deploy was let through is not refused now."""
    from iecpod.commands.rules import demotable_rules, select_demoted

    return demotable_rules() if names is None else select_demoted(names)
