"""An organisation's authorities, alive: OCSP, revocation lists and timestamps over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hitl_audit.signing.keys import SigningKey, key_from

_PEOPLE = {
    "ada": "Ada Lovelace",
    "bob": "Bob Expert",
    "olga": "Olga Officer",
    "rita": "Rita Revoked",
    "xena": "Xena Expired",
}
_KEYS = ("root", "interm", "ocsp", "tsa", *_PEOPLE)


@dataclass(frozen=True)
class Authorities:
    """The test authorities: keys of people, certificates, and where the servers are."""

    root: x509.Certificate
    interm: x509.Certificate
    tsa_url: str
    people: dict[str, SigningKey]
    crls: tuple[bytes, ...]

    @property
    def root_pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _extension(kind: str, schema: str, params: Any, *, critical: bool = False) -> dict[str, Any]:
    return {
        "id": kind,
        "critical": critical,
        "smart-value": {"schema": schema, "params": params},
    }


def _authority(subject: str, issuer: str, **other: Any) -> dict[str, Any]:
    return {
        "subject": subject,
        "issuer": issuer,
        "validity": {
            "valid-from": "2015-01-01T00:00:00+0000",
            "valid-to": f"{other.get('until', 2130)}-01-01T00:00:00+0000",
        },
        "extensions": [
            {"id": "basic_constraints", "critical": True, "value": {"ca": True}},
            _extension(
                "key_usage", "key-usage", ["digital_signature", "key_cert_sign", "crl_sign"]
            ),
            *other.get("extensions", ()),
        ],
    }


def _person(name: str) -> dict[str, Any]:
    until = "2021-01-01T00:00:00+0000" if name == "xena" else "2100-01-01T00:00:00+0000"
    made: dict[str, Any] = {
        "subject": name,
        "issuer": "interm",
        "validity": {"valid-from": "2020-01-01T00:00:00+0000", "valid-to": until},
        "extensions": [
            _extension(
                "key_usage", "key-usage", ["digital_signature", "non_repudiation"], critical=True
            ),
            _extension(
                "authority_information_access", "aia-urls", {"ocsp-responder-names": ["interm"]}
            ),
            _extension("crl_distribution_points", "crl-dist-url", {"crl-repo-names": ["interm"]}),
        ],
    }
    if name == "rita":
        made["revocation"] = {
            "revoked-since": "2021-06-01T00:00:00+0000",
            "reason": "key_compromise",
        }
    return made


def _config(address: str) -> dict[str, Any]:
    lists = _extension("crl_distribution_points", "crl-dist-url", {"crl-repo-names": ["root"]})
    return {
        "external-url-prefix": address,
        "keysets": {"keys": {"keys": {name: {"path": f"{name}.pem"} for name in _KEYS}}},
        "pki-architectures": {
            "bank": {
                "keyset": "keys",
                "entity-defaults": {"country-name": "BE", "organization-name": "Example Bank"},
                "entities": {
                    "root": {"common-name": "Example Root"},
                    "interm": {"common-name": "Example Staff CA"},
                    "ocsp": {"common-name": "Example OCSP"},
                    "tsa": {"common-name": "Example Time"},
                    **{name: {"common-name": words} for name, words in _PEOPLE.items()},
                },
                "certs": {
                    "root": _authority("root", "root"),
                    "interm": _authority("interm", "root", extensions=[lists]),
                    "ocsp": {
                        **_authority("ocsp", "interm"),
                        "extensions": [
                            _extension("key_usage", "key-usage", ["digital_signature"]),
                            {"id": "extended_key_usage", "value": ["ocsp_signing"]},
                            {"id": "ocsp_no_check"},
                        ],
                    },
                    "tsa": {
                        **_authority("tsa", "root", until=2110),
                        "extensions": [
                            _extension("key_usage", "key-usage", ["digital_signature"]),
                            {
                                "id": "extended_key_usage",
                                "critical": True,
                                "value": ["time_stamping"],
                            },
                            lists,
                        ],
                    },
                    **{name: _person(name) for name in _PEOPLE},
                },
                "services": {
                    "ocsp": {"interm": {"for-issuer": "interm", "responder-cert": "ocsp"}},
                    "crl-repo": {
                        name: {"for-issuer": name, "simulated-update-schedule": "P30D"}
                        for name in ("root", "interm")
                    },
                    "time-stamping": {"tsa": {"signing-cert": "tsa"}},
                },
            }
        },
    }


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authorities]:
    from certomancer.integrations.animator import Animator, AnimatorArchStore
    from certomancer.registry import ArchLabel, CertLabel, CertomancerConfig, ServiceLabel

    home: Path = tmp_path_factory.mktemp("authorities")
    private = {name: ec.generate_private_key(ec.SECP256R1()) for name in _KEYS}
    for name, key in private.items():
        (home / f"{name}.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    server = make_server("127.0.0.1", 0, lambda *_: [], handler_class=_Silent)
    address = f"http://127.0.0.1:{server.server_port}"
    # JSON is YAML, too.
    (home / "pki.yml").write_text(json.dumps(_config(address)))
    config = CertomancerConfig.from_file(str(home / "pki.yml"), key_search_dir=str(home))
    bank = config.get_pki_arch(ArchLabel("bank"))
    server.set_app(Animator(AnimatorArchStore(config.pki_archs), with_web_ui=False))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def certificate(name: str) -> x509.Certificate:
        return x509.load_der_x509_certificate(bank.get_cert(CertLabel(name)).dump())

    now = datetime.now(UTC)
    crls = [bank.service_registry.get_crl(ServiceLabel(n), now).dump() for n in ("interm", "root")]
    interm = certificate("interm")
    yield Authorities(
        root=certificate("root"),
        interm=interm,
        tsa_url=f"{address}/bank/tsa/tsa",
        people={name: key_from(certificate(name), private[name], (interm,)) for name in _PEOPLE},
        crls=tuple(crls),
    )
    server.shutdown()
    server.server_close()
    thread.join()
