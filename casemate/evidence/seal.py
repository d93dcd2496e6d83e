"""Seals: signed statements about the head of the custody log.

A hash chain does not show whole lines cut from its end, and proves nothing against who owns the
case.  A seal says how many lines the log has and the hash of the last one, signed with Ed25519
(RFC 8032).  It is a JSON file ``seals/<lines>-<key id>.json``::

    {"statement": "<JSON text>", "signature": "<base64>", "public_key": "<base64>"}

The signature is over the bytes of the statement, ``{"casemate_seal":1,"case":<hash of the first line>,
"lines":n,"head":<hash of line n>,"time":<UTC>,"key":<key id>}``; the key id is the first 16 hex digits
of the SHA-256 of the raw public key.  A copy kept elsewhere shows lines cut together with the seal.
Beside it may lie a timestamp of it, ``<name>.tsr`` (:mod:`casemate.evidence.timestamp`).
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from casemate.engine.files import check_folder, disk_errors, inside, read_regular, replace_file
from casemate.errors import BadInput, CasemateError
from casemate.evidence.timestamp import ANSWER_BYTES, SUFFIX, Timestamp, check, sentence

FOLDER = "seals"
SEAL_BYTES = 64 * 1024
KEY_BYTES = 64 * 1024
VERSION = 1
_STATEMENT = {"casemate_seal": int, "case": str, "lines": int, "head": str, "time": str, "key": str}


@dataclass(frozen=True)
class Seal:
    """What a seal says; its signature fits the public key in it, whoever that belongs to."""

    name: str
    case: str
    lines: int
    head: str
    time: str
    key: str


def key_id(key: Ed25519PublicKey) -> str:
    """The short name of a key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def make_key(path: Path) -> str:
    """Write a new private key to `path` (readable by its owner) and its public key to ``<path>.pub``; the key id.

    Raises:
        BadInput: one of them is there already.
        CannotFinish: they cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    public = path.with_name(path.name + ".pub")
    for file in (path, public):
        if os.path.lexists(file):
            raise BadInput("is there already", where=str(file))
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    known = private.public_key()
    shown = known.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for file, content, mode in ((path, secret, 0o600), (public, shown, 0o644)):
        with disk_errors(file):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                os.fsync(stream.fileno())
    return key_id(known)


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 private key in PEM.

    Raises:
        BadInput: it is none.
    """
    try:
        key = serialization.load_pem_private_key(_key_bytes(path), None)
    except (ValueError, TypeError) as error:
        raise BadInput(f"is not a private key without a password: {error}", where=str(path)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput("is not an Ed25519 key", where=str(path), hint="make one with --make-key")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM.

    Raises:
        BadInput: it is none.
    """
    try:
        key = serialization.load_pem_public_key(_key_bytes(path))
    except ValueError as error:
        raise BadInput(f"is not a public key: {error}", where=str(path)) from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput("is not an Ed25519 public key", where=str(path))
    return key


def write_seal(
    root: Path, first: str, lines: int, head: str, key: Ed25519PrivateKey, now: datetime
) -> tuple[Seal, bytes]:
    """Sign a statement about the log of the case at `root` and keep it in ``seals/``.

    Args:
        root: the case folder; the caller holds its lock.
        first, head: hashes of the first and the last line.
        lines: how many lines the log has.
        key: what signs.
        now: the time in the statement.

    Returns:
        The seal and the bytes of its file.
    """
    public = key.public_key()
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    name = f"{lines}-{key_id(public)}.json"
    seal = Seal(name, first, lines, head, stamp, key_id(public))
    said = {"casemate_seal": VERSION, "case": first, "lines": lines, "head": head, "time": stamp, "key": seal.key}
    statement = orjson.dumps(said)
    content = orjson.dumps(
        {
            "statement": statement.decode(),
            "signature": base64.b64encode(key.sign(statement)).decode(),
            "public_key": base64.b64encode(public.public_bytes_raw()).decode(),
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )
    folder = root / FOLDER
    with disk_errors(folder):
        if not os.path.lexists(folder):
            folder.mkdir()
        check_folder(folder)
        (folder / f"{name}{SUFFIX}").unlink(missing_ok=True)  # of the seal that this one replaces
        replace_file(folder / name, content)
    return seal, content


def keep_timestamp(root: Path, seal: Seal, answer: bytes) -> None:
    """Keep an authority's answer beside a seal of the case at `root`."""
    folder = root / FOLDER
    with disk_errors(folder):
        check_folder(folder)
        replace_file(folder / f"{seal.name}{SUFFIX}", answer)


def read_seal(content: bytes, name: str) -> Seal:
    """A seal whose signature fits the key in it.

    Raises:
        BadInput: it is no seal, or the signature does not fit.
    """
    try:
        document = orjson.loads(content)
        statement = document["statement"].encode()
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(document["public_key"], validate=True))
        signature = base64.b64decode(document["signature"], validate=True)
        public.verify(signature, statement)
        said: dict[str, Any] = orjson.loads(statement)
    except InvalidSignature:
        raise BadInput("its signature does not fit what it says", where=name) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"is not a seal: {error!r}"[:200], where=name) from None
    if not isinstance(said, dict) or any(type(said.get(item)) is not kind for item, kind in _STATEMENT.items()):
        raise BadInput("does not say what a seal says", where=name)
    if said["key"] != key_id(public) or said["casemate_seal"] != VERSION:
        raise BadInput("names another key than the one that signed it", where=name)
    return Seal(name, said["case"], said["lines"], said["head"], said["time"], said["key"])


def kept_seals(root: Path) -> Iterator[Seal | BadInput]:
    """The seals in the case, by name; what is wrong with those that are none."""
    folder = root / FOLDER
    if not os.path.lexists(folder):
        return
    try:
        check_folder(folder)
    except CasemateError as error:
        yield BadInput(error.what, where=FOLDER)
        return
    for name in sorted(path.name for path in folder.iterdir() if path.suffix != SUFFIX):
        where = f"{FOLDER}/{name}"
        try:
            yield read_seal(read_regular(inside(root, where), SEAL_BYTES), where)
        except BadInput as error:
            yield error
        except (CasemateError, OSError) as error:
            yield BadInput(str(error), where=where)


@dataclass(frozen=True)
class StampCheck:
    """What the timestamps in a case say: `problems` as (where, what), notes, and each with its seal's lines."""

    problems: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    stamps: tuple[tuple[Timestamp, int], ...]


def check_timestamps(
    files: Sequence[tuple[str, Path]], certificates: Sequence[x509.Certificate], *, needed: bool = False
) -> StampCheck:
    """Hold timestamps against their seals.

    Args:
        files: the name to show and the path of each timestamp; its seal is the file without ``.tsr``.
        certificates: of authorities the caller trusts.
        needed: whether it is a problem that no timestamp is of one of them.
    """
    problems: list[tuple[str, str]] = []
    notes: list[str] = []
    stamps: list[tuple[Timestamp, int]] = []
    for where, path in files:
        try:
            content = read_regular(path.with_suffix(""), SEAL_BYTES)
            seal = read_seal(content, where.removesuffix(SUFFIX))
            stamp = check(read_regular(path, ANSWER_BYTES), content, certificates, where)
        except FileNotFoundError:
            problems.append((where, "is the timestamp of a seal that is not there"))
        except (CasemateError, OSError) as error:
            problems.append((where, error.what if isinstance(error, CasemateError) else str(error)))
        else:
            stamps.append((stamp, seal.lines))
            notes.append(sentence(stamp, seal.lines, seal.time))
    if needed and not stamps and not problems:
        problems.append((FOLDER, "no timestamp of the given authority"))
    return StampCheck(tuple(problems), tuple(notes), tuple(stamps))


def kept_timestamps(root: Path) -> list[tuple[str, Path]]:
    """The timestamps in the case, by name."""
    folder = root / FOLDER
    try:
        check_folder(folder)
        names = sorted(path.name for path in folder.iterdir() if path.suffix == SUFFIX)
    except (CasemateError, OSError):
        return []  # what is wrong with the folder is told by kept_seals
    return [(f"{FOLDER}/{name}", folder / name) for name in names]


@dataclass(frozen=True)
class SealCheck:
    """What the seals say of a log: `problems` as (where, what), and how far a trusted key vouches for it."""

    problems: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    sealed_lines: int


def check_seals(
    seals: Sequence[Seal | BadInput], hashes: Sequence[str], trusted: Sequence[Ed25519PublicKey]
) -> SealCheck:
    """Hold seals against the hashes of the log's lines.

    Args:
        seals: seals of this case, kept in it or elsewhere.
        hashes: hash of each line, in order ("" for a damaged one).
        trusted: public keys the caller trusts; without any, a seal only shows that it fits.
    """
    keys = {key_id(key) for key in trusted}
    problems: list[tuple[str, str]] = []
    notes: list[str] = []
    sealed = 0
    for seal in seals:
        if isinstance(seal, BadInput):
            problems.append((seal.where or FOLDER, seal.what))
            continue
        if keys and seal.key not in keys:
            notes.append(f"{seal.name}: signed by the key {seal.key}, which is not one of those given")
        if not hashes or seal.case != hashes[0]:
            problems.append((seal.name, "is a seal of another case, or the first line of the log was replaced"))
        elif seal.lines > len(hashes):
            cut = seal.lines - len(hashes)
            problems.append(
                (
                    "custody.jsonl",
                    f"{cut} line{'s' * (cut != 1)} cut from its end: it has {len(hashes)}, and had {seal.lines} "
                    f"when it was sealed at {seal.time} ({seal.name})",
                )
            )
        elif seal.lines < 1 or seal.head != hashes[seal.lines - 1]:
            problems.append((seal.name, f"line {seal.lines} of the custody log is not the one that was sealed"))
        elif not keys:
            notes.append(
                f"{seal.name}: the log fits this seal of the key {seal.key}; whose key that is can only be told "
                "with --public-key"
            )
        elif seal.key in keys:
            sealed = max(sealed, seal.lines)
            notes.append(f"lines 1 to {seal.lines} are as the key {seal.key} sealed them at {seal.time}")
    if keys and not sealed and not problems:
        problems.append((FOLDER, "no seal by the given key"))
    return SealCheck(tuple(problems), tuple(notes), sealed)


def _key_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, KEY_BYTES)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path)) from None
    except CasemateError as error:
        raise BadInput(error.what, where=str(path)) from None
