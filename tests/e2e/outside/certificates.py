"""A certificate authority of a lab, and a server's certificate by it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Certificates:
    authority: Path
    server: Path
    server_key: Path


def make_certificates(directory: Path, *server_names: str) -> Certificates:
    made = Certificates(directory / "authority.pem", directory / "server.pem", directory / "server.key")
    authority_key = directory / "authority.key"
    _request("/CN=Outside World", made.authority, authority_key)
    _request(
        f"/CN={server_names[0]}",
        made.server,
        made.server_key,
        *("-CA", str(made.authority), "-CAkey", str(authority_key)),
        *(
            "-addext",
            "subjectAltName=" + ",".join(f"DNS:{name}" for name in server_names),
            "-addext",
            "basicConstraints=CA:FALSE",
        ),
    )
    return made


def _request(subject: str, certificate: Path, key: Path, *arguments: str) -> None:
    places = ("-subj", subject, "-out", str(certificate), "-keyout", str(key))
    subprocess.run(["openssl", "req", "-x509", *_NEW_KEY, *places, *arguments], check=True, stderr=subprocess.DEVNULL)
