"""Options of how to log in to machines that are there already, and what they become."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

import click

from iecpod.cli.options.pod_options import table_option, with_options
from iecpod.cli.output import ask_password
from iecpod.errors import UsageError
from iecpod.files.reader import is_file, read_small
from iecpod.home import in_home
from iecpod.ssh_login import ExpectedKey, Login, Password

F = TypeVar("F", bound=Callable[..., Any])

_PASSWORD_VARIABLE = "IECPOD_SSH_PASSWORD"
_MOST_PASSWORD_BYTES = 4096
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")


class Address(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.4 on
    """An IPv4 address."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> IPv4Address:
        try:
            return value if isinstance(value, IPv4Address) else IPv4Address(value)
        except ValueError:
            self.fail(f"{value!r} is not an IPv4 address", param, ctx)


class _HostKey(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ExpectedKey:
        try:
            return value if isinstance(value, ExpectedKey) else ExpectedKey.parse(value)
        except ValueError as error:
            self.fail(f"{error}; give SHA256:… or TYPE BASE64, with ADDRESS= before it for one node", param, ctx)


def login_options(function: F) -> F:
    """--user, --key and their like, for the verbs that log in to existing machines before they know the POD's key."""
    options: Sequence[Callable[[F], F]] = (
        table_option("user"),
        click.option(
            "--key",
            "key_files",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            metavar="FILE",
            multiple=True,
            help="Private key to log in to existing machines with, once. Default: the agent's, and your own.",
        ),
        click.option(
            "--ask-password",
            is_flag=True,
            help=f"Ask for the user's password on existing machines. Used once; {_PASSWORD_VARIABLE} can hold it.",
        ),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            metavar="FILE",
            help="Read that password from the first line of FILE.",
        ),
        click.option(
            "--host-key",
            "host_keys",
            type=_HostKey(),
            metavar="[ADDRESS=]KEY",
            multiple=True,
            help="Host key of an existing machine, as SHA256:… or TYPE BASE64; else known_hosts has to have it.",
        ),
        click.option(
            "--accept-new-host-keys",
            is_flag=True,
            help="Accept unknown host keys; their fingerprints are printed, and the keys are pinned.",
        ),
    )
    return with_options(function, options)


def make_login(options: Mapping[str, Any], environ: Mapping[str, str]) -> Login:
    """Prompts for a password where that is asked for. Users without a home have no known_hosts. Raises `UsageError`."""
    return Login(
        user=options.get("user"),
        password=_password(options, environ),
        key_files=tuple(map(_key_file, options.get("key_files", ()))),
        expected=tuple(options.get("host_keys", ())),
        known_hosts=tuple(found for path in _KNOWN_HOSTS if (found := in_home(Path(path))) is not None),
        accept_new=bool(options.get("accept_new_host_keys")),
    )


def _key_file(path: Path) -> Path:
    if not is_file(path):
        raise UsageError(f"--key: {path} is not a plain file", "give the file of a private key")
    return path.absolute()


def _password(options: Mapping[str, Any], environ: Mapping[str, str]) -> Password | None:
    file = options.get("password_file")
    if options.get("ask_password") and file is not None:
        raise UsageError("--ask-password and --password-file exclude each other", "leave one of them out")
    if options.get("ask_password"):
        if not sys.stdin.isatty():
            raise UsageError(
                "--ask-password asks on a terminal, and there is none",
                f"give the password with --password-file, or in {_PASSWORD_VARIABLE}",
            )
        return Password(ask_password(f"Password of {options.get('user') or 'the user'} on the machines"))
    if file is not None:
        return _read_password(file)
    text = environ.get(_PASSWORD_VARIABLE)
    return Password(text) if text else None


def _read_password(file: Path) -> Password:
    try:
        content = read_small(file, _MOST_PASSWORD_BYTES)
    except OSError as error:
        raise UsageError(f"--password-file: {file}: {error.strerror}", "give a file that you may read") from error
    lines = content.decode(errors="surrogateescape").splitlines()
    if not lines or not lines[0]:
        raise UsageError(f"--password-file: {file} has no password in its first line", "write it there")
    return Password(lines[0])
