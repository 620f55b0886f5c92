"""libvirt's errors as errors for people, by their code; what is not listed is a bug and goes through as it is."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

import libvirt

from iecpod.adapters.command_trace import trace_call
from iecpod.errors import HostError, HypervisorUnavailable, ResourceConflict

_UNAVAILABLE = {
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_RPC,
}

#: Since Debian 13, libvirt's drivers are packages of their own; the daemon starts without them.
_DRIVERS_REMEDY = (
    "see that libvirt has its drivers for QEMU, networks and storage pools (packages libvirt-daemon-driver-qemu, "
    "libvirt-daemon-driver-network, libvirt-daemon-driver-storage), then restart libvirtd"
)

_CONFLICT = {
    libvirt.VIR_ERR_DOM_EXIST,
    libvirt.VIR_ERR_NETWORK_EXIST,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST,
}

#: Failures of the host, which the message explains: a full disk, a program that ended, an object that went away.
_FAILED = {
    libvirt.VIR_ERR_INTERNAL_ERROR,
    libvirt.VIR_ERR_NO_MEMORY,
    libvirt.VIR_ERR_SYSTEM_ERROR,
    libvirt.VIR_ERR_OPERATION_FAILED,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_OPERATION_DENIED,
    libvirt.VIR_ERR_OPERATION_TIMEOUT,
    libvirt.VIR_ERR_OPERATION_ABORTED,
    libvirt.VIR_ERR_RESOURCE_BUSY,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_NETWORK,
    libvirt.VIR_ERR_NO_STORAGE_POOL,
    libvirt.VIR_ERR_NO_STORAGE_VOL,
}

#: The object went away, by its own doing or another's.
GONE = {
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_NETWORK,
    libvirt.VIR_ERR_NO_STORAGE_POOL,
    libvirt.VIR_ERR_NO_STORAGE_VOL,
}


@contextlib.contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """`doing` completes "libvirt could not …". Raises `HypervisorUnavailable`, `ResourceConflict` or `HostError`."""
    trace_call("libvirt", doing)
    try:
        yield
    except libvirt.libvirtError as error:
        cause = f"libvirt could not {doing}: {error}"
        code = error.get_error_code()
        # Whatever fails in the layer that carries the calls means that the daemon is not there (any more).
        if code in _UNAVAILABLE or error.get_error_domain() == libvirt.VIR_FROM_RPC:
            raise HypervisorUnavailable(
                cause, "is libvirtd running, and may you use it? Run as root, or choose another with -c (-c embedded)"
            ) from error
        if code == libvirt.VIR_ERR_NO_SUPPORT:
            raise HypervisorUnavailable(cause, _DRIVERS_REMEDY) from error
        if code in _CONFLICT:
            raise ResourceConflict(cause, "remove what has that name, or use another POD name") from error
        if code in _FAILED:
            is_full = os.strerror(errno.ENOSPC) in str(error)
            remedy = "make room there" if is_full else "see the log of libvirtd"
            raise HostError(cause, f"{remedy}; run the command again to resume from here") from error
        raise


def silence_libvirt() -> None:
    """Stops libvirt's habit of printing each error to stderr; they are raised all the same."""
    libvirt.registerErrorHandler(lambda context, error: None, None)
