"""A certificate authority of the tests' own."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import trustme

from support.collector import TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

_LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


class Authority:
    """Issues certificates into a folder; *ca_file* is what a client must trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca_file)

    def server(
        self, name: str = "localhost", *, expired: bool = False, ask_clients: bool = False
    ) -> TlsFiles:
        """Files of a server called *name*; clients must show a certificate if *ask_clients*."""
        until = _LONG_AGO if expired else None
        certificate, key = self._write(name, until)
        return TlsFiles(
            certificate=certificate, key=key, client_ca=self.ca_file if ask_clients else None
        )

    def client_files(self) -> tuple[str, str]:
        """Certificate and key of a client."""
        return self._write("client.example", None)

    def _write(self, name: str, until: dt.datetime | None) -> tuple[str, str]:
        issued = self._authority.issue_cert(name, not_after=until)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(certificate), append=blob is not issued.cert_chain_pems[0])
        issued.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)
