"""SSH keys of a POD: one pair to log in with, one host key for each node, all made here and pinned from the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from iecpod.errors import HostError
from iecpod.files.reader import read_own
from iecpod.files.writer import PRIVATE, create_file, replace_file

_CLIENT_KEY = "id_ed25519"
_KNOWN_HOSTS = "known_hosts"


@dataclass(frozen=True, slots=True)
class PodKeys:
    """The keys in one directory (0700, files 0600). Private keys are read when asked for, never held here.

    `authorized_key` is the client's public key as a line of `authorized_keys`.
    """

    directory: Path
    private_key_file: Path
    authorized_key: str

    def host_key(self, hostname: str) -> tuple[str, str]:
        """Private key (OpenSSH PEM) and public key (`ssh-ed25519 AAAA… HOSTNAME`) of a node, made on first use."""
        private = _ensure_private_key(self.directory / f"ssh_host_ed25519_key-{hostname}", hostname)
        return private, _public_line(private, hostname)

    @property
    def known_hosts_file(self) -> Path:
        return self.directory / _KNOWN_HOSTS

    def write_known_hosts(self, host_keys: Mapping[str, str]) -> Path:
        """Pins host keys for ssh(1): public keys, as `TYPE BASE64`, by each address and name of a node."""
        lines = (f"{name} {' '.join(key.split()[:2])}\n" for name, key in host_keys.items())
        try:
            replace_file(self.known_hosts_file, "".join(lines), PRIVATE)
        except OSError as error:
            raise _host_error(self.known_hosts_file, error) from error
        return self.known_hosts_file


def find_pod_keys(directory: Path) -> PodKeys | None:
    """The keys of a POD that was deployed before; makes nothing. Raises `HostError` for a key that cannot be read."""
    path = directory / _CLIENT_KEY
    private = _read_private_key(path)
    return None if private is None else PodKeys(directory, path, _public_line(private, ""))


def ensure_pod_keys(directory: Path, comment: str) -> PodKeys:
    """The POD's keys, made if there are none. `comment` ends the authorized_keys line. Raises `HostError`."""
    path = directory / _CLIENT_KEY
    return PodKeys(directory, path, _public_line(_ensure_private_key(path, comment), comment))


def _ensure_private_key(path: Path, comment: str) -> str:
    private = _read_private_key(path)
    if private is not None:
        return private
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        create_file(path, pem, PRIVATE)  # where another process was first, its key is the one that counts
    except OSError as error:
        raise _host_error(path, error) from error
    made = _read_private_key(path)
    if made is None:
        raise HostError(f"the key {path} for {comment} vanished while it was made", "run the command again")
    return made


def _read_private_key(path: Path) -> str | None:
    try:
        text = read_own(path).decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _host_error(path, error) from error
    _load(text, path)
    return text


def _load(text: str, path: Path | str = "the key") -> Ed25519PrivateKey:
    try:
        key = load_ssh_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise HostError(
            f"{path} is not an SSH private key", "remove that file; the POD must then be recreated"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HostError(f"{path} is not an ed25519 key", "remove that file; the POD must then be recreated")
    return key


def _public_line(private: str, comment: str) -> str:
    public = _load(private).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{public} {comment}".rstrip()


def _host_error(path: Path, error: OSError) -> HostError:
    return HostError(f"{path}: {error.strerror or error}", "check the owner, the permissions and the free space there")
