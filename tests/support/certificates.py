"""Certificates for tests of TLS, made with the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """One self-signed certificate, which server and clients show and trust."""

    cert: Path
    key: Path

    def settings(self, port: int, client_auth: str) -> list[str]:
        """The server's settings."""
        return [
            f"tls.port={port}",
            f"tls.cert_file={self.cert}",
            f"tls.key_file={self.key}",
            f"tls.ca_file={self.cert}",
            f"tls.client_auth={client_auth}",
        ]


def make_certificates(folder: Path) -> Certificates:
    """Make a key and a certificate for localhost."""
    made = Certificates(folder / "cert.pem", folder / "key.pem")
    files = ["-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            *files,
        ],
        check=True,
        capture_output=True,
    )
    return made
