"""What a piece of evidence is, told by its content alone; its name is never looked at.

Order: containers (archives and compressed streams) and other formats with a fixed signature,
then each reader's own ``recognise``; what nobody knows is ``unknown_binary``.  Signatures are
those of the formats' own documents, collected in the ``file(1)`` magic data base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from casemate.evidence.lines import as_utf8
from casemate.evidence.readers.base import ReaderSpec

HEAD_BYTES = 256 * 1024

NO_READER = "no reader yet"
ARTIFACT = "holds no records of its own; what the scanner says of it stands in the table artifacts"


@dataclass(frozen=True)
class Signature:
    """Bytes that stand at `offset` in every file of one format."""

    format: str
    offset: int
    magic: bytes
    note: str | None = NO_READER


CONTAINERS: tuple[Signature, ...] = (
    Signature("zip", 0, b"PK\x03\x04", None),
    Signature("zip", 0, b"PK\x05\x06", None),
    Signature("zip", 0, b"PK\x07\x08PK\x03\x04", None),
    Signature("gzip", 0, b"\x1f\x8b\x08", None),
    Signature("zstd", 0, b"\x28\xb5\x2f\xfd", None),
    *(
        Signature("zstd", 0, bytes((0x50 + kind, 0x2A, 0x4D, 0x18)), None) for kind in range(16)
    ),  # a frame to skip first
    Signature("bzip2", 0, b"BZh", None),
    Signature("xz", 0, b"\xfd7zXZ\x00", None),
    Signature("7z", 0, b"7z\xbc\xaf\x27\x1c", None),
)
"""Formats that :mod:`casemate.evidence.archives` unpacks; tar has no dependable signature (see `is_tar`)."""

BINARIES: tuple[Signature, ...] = (
    Signature("apple_double", 0, b"\x00\x05\x16\x07", "resource fork written by macOS, holds no records"),
    Signature("pcap", 0, b"\xd4\xc3\xb2\xa1"),
    Signature("pcap", 0, b"\xa1\xb2\xc3\xd4"),
    Signature("pcap", 0, b"\x4d\x3c\xb2\xa1"),
    Signature("pcap", 0, b"\xa1\xb2\x3c\x4d"),
    Signature("pcapng", 0, b"\x0a\x0d\x0d\x0a"),
    Signature("sqlite", 0, b"SQLite format 3\x00"),
    Signature("parquet", 0, b"PAR1", ARTIFACT),
    Signature("hdf5", 0, b"\x89HDF\r\n\x1a\n", ARTIFACT),
    Signature("numpy", 0, b"\x93NUMPY", ARTIFACT),
    Signature("gguf", 0, b"GGUF", ARTIFACT),
    Signature("rar", 0, b"Rar!\x1a\x07"),
    Signature("cabinet", 0, b"MSCF\x00\x00\x00\x00"),
    Signature("tflite", 4, b"TFL3", ARTIFACT),
    Signature("joblib_zlib", 0, b"ZF0x", ARTIFACT),
    Signature("lz4", 0, b"\x04\x22\x4d\x18", ARTIFACT),
    Signature("systemd_journal", 0, b"LPKSHHRH"),
    Signature("windows_registry", 0, b"regf"),
    Signature("windows_link", 0, b"L\x00\x00\x00\x01\x14\x02\x00"),
    Signature("windows_prefetch", 4, b"SCCA"),
    Signature("windows_prefetch", 0, b"MAM\x04"),
    Signature("windows_mft", 0, b"FILE0\x00"),
    Signature("extensible_storage", 4, b"\xef\xcd\xab\x89"),
    Signature("ole_document", 0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    Signature("windows_executable", 0, b"MZ"),
    Signature("elf_executable", 0, b"\x7fELF"),
    Signature("pdf", 0, b"%PDF-"),
    Signature("png", 0, b"\x89PNG\r\n\x1a\n"),
    Signature("jpeg", 0, b"\xff\xd8\xff"),
    Signature("gif", 0, b"GIF87a"),
    Signature("gif", 0, b"GIF89a"),
)
"""Formats known by name for which there is no reader; readers are asked before these."""

PICKLE_OPCODES = b"\x95]}()cX\x8cKJMNGU\x88\x89CBT\x8f\x8a\x8e\x96VISFLid0"
"""What may follow the protocol at the beginning of a pickle."""
TAR_BLOCK = 512
TAR_CHECKSUM = slice(148, 156)


@dataclass(frozen=True)
class Identified:
    """What the content is.

    Args:
        format: name of the format, never empty.
        reader: the reader for it, if there is one.
        container: whether it is unpacked into members.
        note: what to tell a person when nothing will be read from it.
    """

    format: str
    reader: ReaderSpec | None = None
    container: bool = False
    note: str | None = None


def identify(head: bytes, readers: Sequence[ReaderSpec]) -> Identified:
    """Tell the format from the beginning of the content (up to :data:`HEAD_BYTES`).

    Never raises: a reader whose ``recognise`` fails on these bytes does not recognise them.
    """
    head = head[:HEAD_BYTES]
    if not head:
        return Identified("empty", note="the file is empty")
    container = _signed(head, CONTAINERS)
    if container is not None and _plausible(container.format, head):
        return Identified(container.format, container=True)
    if is_tar(head):
        return Identified("tar", container=True)
    binary = _signed(head, BINARIES)
    # text may begin with "MZ": a signature of a few letters alone does not outweigh the text reader
    certain = binary is not None and not (len(binary.magic) <= 4 and binary.magic.isalnum())
    reader = _most_confident(head, readers, above=1 if certain else 0)
    if reader is not None:
        return Identified(reader.format, reader=reader)
    if binary is not None:
        return Identified(binary.format, note=binary.note)
    structured = _structured(head)
    return Identified(structured or "unknown_binary", note=NO_READER if structured is None else ARTIFACT)


def is_tar(head: bytes) -> bool:
    """Whether `head` begins with a tar header: its checksum is right (POSIX.1-1988, ustar interchange format)."""
    block = head[:TAR_BLOCK]
    if len(block) < TAR_BLOCK or not block[0]:
        return False
    try:
        stated = int(block[TAR_CHECKSUM].strip(b" \x00") or b"x", 8)
    except ValueError:
        return False
    return stated == sum(block) - sum(block[TAR_CHECKSUM]) + 8 * ord(" ")


def _signed(head: bytes, signatures: Sequence[Signature]) -> Signature | None:
    for signature in signatures:
        if head.startswith(signature.magic, signature.offset):
            return signature
    return None


def _plausible(container: str, head: bytes) -> bool:
    """Whether a short signature is really that container: text may begin with "BZh"."""
    if container == "bzip2":
        return head[3:4] in b"123456789" and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    return True


def _most_confident(head: bytes, readers: Sequence[ReaderSpec], above: int) -> ReaderSpec | None:
    best, confidence = None, above
    for content in dict.fromkeys((head, as_utf8(head))):  # UTF-16 also as the readers will see its lines
        for reader in readers:
            try:
                said = reader.recognise(content)
            except Exception:  # noqa: S112 - hostile bytes must not keep the other readers from looking
                continue
            if said > confidence:
                best, confidence = reader, said
    return best


def _structured(head: bytes) -> str | None:
    """Formats without a signature at a fixed place."""
    if len(head) < 4:
        return None
    if head[:1] == b"\x80" and head[1:2] <= b"\x05" and head[2:3] in PICKLE_OPCODES:
        return "pickle"
    if head[:1] == b"\x78" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        return "zlib"
    if head[:1] == b"\x08" and 3 <= head[1] <= 20 and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a"):
        return "onnx"
    if len(head) > 16 and head[8:10] == b'{"' and 2 <= int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    return None
