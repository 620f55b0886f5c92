"""How the bundle of a release gets to the nodes: chosen here, once, for the deploy and every later command."""

from __future__ import annotations

from iecpod.errors import UsageError
from iecpod.options.choices import BundleVia
from iecpod.options.site import Site
from iecpod.release.release import ImageSourceType, Release


def choose_bundle_via(
    release: Release, site: Site, *, asked: BundleVia | None, known: BundleVia | None
) -> BundleVia | None:
    """What was asked for, else what the POD was deployed with where that is possible, else the first that is.

    None where nodes install from the network. Raises `UsageError` where what was asked for is impossible.
    """
    obstacles = _obstacles(release, site)
    if asked is not None and asked in obstacles:
        raise UsageError(f"--bundle-via {asked.value}: {obstacles[asked]}", _remedy(obstacles))
    ways = [way for way in (asked, known, *BundleVia) if way is not None and way not in obstacles]
    return ways[0] if ways else None


def _obstacles(release: Release, site: Site) -> dict[BundleVia, str]:
    """Why not, by way."""
    if not release.needs_no_network:
        return dict.fromkeys(BundleVia, f"release {release.name} has no bundle, and none was given")
    obstacles: dict[BundleVia, str] = {}
    if release.image.type is not ImageSourceType.MMDEBSTRAP:
        obstacles[BundleVia.IMAGE] = f"the image of release {release.name} comes from elsewhere and is taken as it is"
    elif release.runtime != "containerd":
        obstacles[BundleVia.IMAGE] = f"{release.runtime}, the runtime of release {release.name}, runs in no tree"
    if not site.makes_machines:
        there = "machines that have their operating system already are not made here"
        obstacles |= {BundleVia.IMAGE: there, BundleVia.DISK: there}
    elif site.uri is not None and not site.uri.is_on_this_host:
        obstacles[BundleVia.DISK] = f"the hypervisor at {site.uri} does not see the disks of this machine"
    return obstacles


def _remedy(obstacles: dict[BundleVia, str]) -> str:
    possible = " or ".join(way.value for way in BundleVia if way not in obstacles)
    return f"leave it out, or use {possible}" if possible else "leave it out, or choose a release with a bundle"
