"""X.509 certificates as handshakes show them, in the words of Zeek's x509.log (RFC 5280; names after RFC 4514).

Parsed by the library ``cryptography``; a certificate it refuses keeps its fingerprint and says why.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

EMAIL = {NameOID.EMAIL_ADDRESS: "emailAddress"}
KEY_NAMES = {"rsa": "rsaEncryption", "ecdsa": "id-ecPublicKey", "dsa": "dsaEncryption"}
CURVES = {"secp256r1": "prime256v1"}
"""Zeek writes OpenSSL's names."""
SIGNATURES = {
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption", "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption", "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption", "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256", "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512", "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.3.101.112": "ED25519", "1.3.101.113": "ED448",
}  # fmt: skip
MOST_NAMES = 500
LONGEST_TEXT = 8192
UNREADABLE = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)

Values = dict[str, str | None]


def values_of(data: bytes) -> Values:
    """The columns of ``zeek_x509`` for one certificate in DER; ``unreadable`` says why parts are missing."""
    values: Values = {"fingerprint": hashlib.sha256(data).hexdigest()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd certificates are evidence, not our mistakes
        try:
            found = x509.load_der_x509_certificate(data)
        except UNREADABLE as error:
            values["unreadable"] = str(error)[:200]
            return values
        for read in (_identity, _key, _extensions):
            try:
                values |= read(found)
            except UNREADABLE as error:
                values["unreadable"] = str(error)[:200]
    return values


def _identity(found: x509.Certificate) -> Values:
    oid = found.signature_algorithm_oid.dotted_string
    return {
        "certificate.version": str(found.version.value + 1),
        "certificate.serial": _serial(found.serial_number),
        "certificate.subject": _name(found.subject),
        "certificate.issuer": _name(found.issuer),
        "certificate.not_valid_before": _seconds(found.not_valid_before_utc),
        "certificate.not_valid_after": _seconds(found.not_valid_after_utc),
        "certificate.sig_alg": SIGNATURES.get(oid, oid),
    }


def _serial(number: int) -> str:
    """Hexadecimal in whole bytes, as OpenSSL writes it."""
    written = f"{abs(number):X}"
    return ("-" if number < 0 else "") + ("0" if len(written) % 2 else "") + written


def _name(name: x509.Name) -> str | None:
    return name.rfc4514_string(EMAIL)[:LONGEST_TEXT] or None


def _seconds(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=UTC).timestamp():.6f}"


def _key(found: x509.Certificate) -> Values:
    key = found.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _said("rsa", key.key_size) | {"certificate.exponent": str(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        name = key.curve.name
        return _said("ecdsa", key.key_size) | {"certificate.curve": CURVES.get(name, name)}
    if isinstance(key, dsa.DSAPublicKey):
        return _said("dsa", key.key_size)
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return {"certificate.key_alg": "ED25519" if isinstance(key, ed25519.Ed25519PublicKey) else "ED448"}
    return {}


def _said(kind: str, size: int) -> Values:
    return {
        "certificate.key_alg": KEY_NAMES[kind],
        "certificate.key_type": kind,
        "certificate.key_length": str(size),
    }


def _extensions(found: x509.Certificate) -> Values:
    values: Values = {}
    for extension in found.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            values["basic_constraints.ca"] = "true" if value.ca else "false"
            if value.path_length is not None:
                values["basic_constraints.path_len"] = str(value.path_length)
        elif isinstance(value, x509.SubjectAlternativeName):
            values |= {
                "san.dns": _listed(value.get_values_for_type(x509.DNSName)),
                "san.uri": _listed(value.get_values_for_type(x509.UniformResourceIdentifier)),
                "san.email": _listed(value.get_values_for_type(x509.RFC822Name)),
                "san.ip": _listed(map(str, value.get_values_for_type(x509.IPAddress))),
            }
    return values


def _listed(names: Iterable[str]) -> str | None:
    return "\n".join(list(names)[:MOST_NAMES]) or None
