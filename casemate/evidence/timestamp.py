"""Timestamps (RFC 3161) of seals: an authority vouches that a seal existed at a time.

A seal states a time by the clock of whoever sealed; a timestamp proves one by the clock of a third party.
It is the authority's answer as received (DER ``TimeStampResp``), kept beside the seal as ``<seal>.tsr``, over
the SHA-512 of the seal's file.  ``openssl ts -verify -in <seal>.tsr -data <seal> -CAfile FILE`` checks the same.

What it proves: that these bytes, and so the head of the log they name, existed no later than its time.  It
says nothing of when the evidence was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from casemate.engine.files import read_regular
from casemate.errors import BadInput, CannotFinish, CasemateError

SUFFIX = ".tsr"
ANSWER_BYTES = 256 * 1024
"""Longest answer of an authority; with a chain of certificates they have some 5 to 15 KB."""
CERTIFICATE_BYTES = 1024 * 1024
CLOCKS_APART = timedelta(minutes=5)
"""By how much the time that a seal states may lie after its timestamp without a word."""
HASHES = {  # RFC 5754
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}
STATUS = {  # RFC 3161, 2.4.2
    1: "granted with changes, which are not accepted here",
    2: "rejected",
    3: "waiting",
    4: "a revocation is near",
    5: "the authority's key is revoked",
}


@dataclass(frozen=True)
class Timestamp:
    """What a timestamp says: the time (UTC) and its stated accuracy, who signed it, its serial number there.

    `proven` is whether its signature was checked with a certificate that the caller trusts.
    """

    name: str
    time: datetime
    accuracy_seconds: float | None
    authority: str | None
    serial: str
    proven: bool = False


def take(content: bytes, ask: Callable[[bytes], bytes], name: str) -> tuple[Timestamp, bytes]:
    """A timestamp of `content`.

    Args:
        content: what is stamped; only its hash leaves.
        ask: sends a request (DER) to the authority and returns its answer.
        name: of the timestamp, for messages.

    Returns:
        What it says and the answer to keep.

    Raises:
        CannotFinish: the authority gave none, or one of something else.
    """
    request = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA512).build()
    answer = ask(request.as_bytes())
    try:
        stamp, response = _read(answer, content, name)
    except BadInput as error:
        raise CannotFinish(f"the timestamp authority's answer {error.what}") from None
    if response.tst_info.nonce != request.nonce:
        raise CannotFinish("the timestamp authority answered another request (its nonce is not ours)")
    return stamp, answer


def check(answer: bytes, content: bytes, certificates: Sequence[x509.Certificate], name: str) -> Timestamp:
    """Hold a kept timestamp against what it is said to be of.

    Args:
        answer: the authority's answer.
        content: what was stamped.
        certificates: of authorities the caller trusts: a root, with or without those between; without any the
            timestamp only shows that it is one of this content.
        name: of the timestamp, for messages.

    Raises:
        BadInput: it is no timestamp, one of something else, or not signed by one of these authorities.
    """
    stamp, response = _read(answer, content, name)
    if not certificates:
        return stamp
    roots = [one for one in certificates if _self_signed(one)] or list(certificates)
    builder = VerifierBuilder(roots=roots, intermediates=[one for one in certificates if one not in roots])
    try:
        hashed = HASHES[response.tst_info.message_imprint.hash_algorithm.dotted_string](content).digest()
        builder.build().verify(response, hashed)
    except VerificationError as error:
        raise BadInput(f"is not signed by the authority of the given certificate: {error}", where=name) from None
    except BaseException as error:
        raise _unreadable(error, name) from None
    return Timestamp(stamp.name, stamp.time, stamp.accuracy_seconds, stamp.authority, stamp.serial, True)


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file (or the one of a DER file).

    Raises:
        BadInput: there are none.
    """
    try:
        content = read_regular(path, CERTIFICATE_BYTES)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    except CasemateError as error:
        raise BadInput(error.what, where=str(path)) from None
    try:
        if b"-----BEGIN" in content:
            return tuple(x509.load_pem_x509_certificates(content))
        return (x509.load_der_x509_certificate(content),)
    except ValueError as error:
        raise BadInput(f"holds no certificate: {error}"[:200], where=str(path)) from None


def sentence(stamp: Timestamp, lines: int, stated: str) -> str:
    """What a timestamp of a seal of so many lines says, for people; `stated` is the time the seal states."""
    within = f" (to {stamp.accuracy_seconds:g} s)" if stamp.accuracy_seconds else ""
    moment = stamp.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    by = f" by {stamp.authority}" if stamp.authority else ""
    if not stamp.proven:
        return (
            f"{stamp.name}: says that the seal of lines 1 to {lines} existed at {moment}{by}; whether the authority "
            "said so can only be told with --authority-certificate"
        )
    text = f"{stamp.name}: proves that lines 1 to {lines} existed at {moment}{within}, stamped{by}"
    if datetime.fromisoformat(stated) > stamp.time + CLOCKS_APART:
        text += f"; the seal states a later time, {stated}: the clock of who sealed was ahead"
    return text


def _read(answer: bytes, content: bytes, name: str) -> tuple[Timestamp, TimeStampResponse]:
    try:
        response = decode_timestamp_response(answer)
        if response.status != 0:
            said = "; ".join(response.status_string)
            reason = STATUS.get(response.status, f"status {response.status}")
            raise BadInput(f"is no timestamp: {reason}{f' ({said})' if said else ''}"[:300], where=name)
        info = response.tst_info
        hashing = HASHES.get(info.message_imprint.hash_algorithm.dotted_string)
        fits = hashing is not None and hashing(content).digest() == info.message_imprint.message
        made = Timestamp(
            name, _utc(info.gen_time), _accuracy(info.accuracy), _signer(response), f"{info.serial_number:x}"
        )
    except BadInput:
        raise
    except BaseException as error:
        raise _unreadable(error, name) from None
    if hashing is None:
        raise BadInput("has a hash of a kind that is not accepted", where=name)
    if not fits:
        raise BadInput("is a timestamp of something else", where=name)
    return made, response


def _unreadable(error: BaseException, name: str) -> BaseException:
    """What a parser that was given hostile bytes raised, as an error of ours; a Rust panic is no Exception."""
    if isinstance(error, Exception) and not isinstance(error, (MemoryError, CasemateError)):
        return BadInput(f"is no timestamp: {error}"[:200], where=name)
    return BadInput("is no timestamp", where=name) if type(error).__name__ == "PanicException" else error


def _signer(response: TimeStampResponse) -> str | None:
    """Subject of the certificate that the answer itself names as the signer's."""
    signers = list(response.signed_data.signer_infos)
    for content in response.signed_data.certificates:
        one = x509.load_der_x509_certificate(content)
        if any(one.issuer == signer.issuer and one.serial_number == signer.serial_number for signer in signers):
            return one.subject.rfc4514_string()
    return None


def _accuracy(accuracy: object) -> float | None:
    if accuracy is None:
        return None
    parts = [getattr(accuracy, part, None) or 0 for part in ("seconds", "millis", "micros")]
    return parts[0] + parts[1] / 1e3 + parts[2] / 1e6


def _self_signed(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
