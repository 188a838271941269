"""Receivers on loopback for the tests of channels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts.receivers import Certificates, Hook, certificates


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().served() as served:
        yield served


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """A certificate for localhost that this process trusts, as OpenSSL is told by its own variable."""
    made = certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.trusted))
    return made
