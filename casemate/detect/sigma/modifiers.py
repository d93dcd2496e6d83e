"""Sigma's encoding modifiers, working on bytes.

pySigma 1.5 encodes in the domain of characters: a byte-order mark becomes U+FEFF before it is
Base64-encoded as UTF-8, ``base64offset`` counts characters where it must count bytes, an escaped
wildcard keeps its backslash, and ``utf16le`` is unknown.  The classes here follow the Sigma
specification (modifiers appendix, "base64", "base64offset", "utf16", "utf16le", "wide") and are in
force only inside :func:`exact_modifiers`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from sigma.exceptions import SigmaValueError
from sigma.modifiers import (
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaUTF16BEModifier,
    SigmaUTF16Modifier,
    SigmaWideModifier,
    modifier_mapping,
)
from sigma.types import Placeholder, SigmaExpansion, SigmaString

_START = (0, 2, 3)
_END = (None, -3, -2)


class _EncodedString(SigmaString):
    """Text that stands for bytes; ``encoded`` are the bytes a Base64 modifier must encode."""

    encoded: bytes = b""


def _bytes_of(value: SigmaString, modifier: str) -> bytes:
    if isinstance(value, _EncodedString):
        return value.encoded
    if any(not isinstance(part, str) for part in value.s):
        kind = "placeholders" if any(isinstance(part, Placeholder) for part in value.s) else "wildcards"
        raise SigmaValueError(f"modifier {modifier} cannot encode text with {kind}")
    return "".join(part for part in value.s if isinstance(part, str)).encode()


def _encode(value: SigmaString, encoding: str, mark: bytes, modifier: str) -> SigmaString:
    """Text encoded as UTF-16; used without Base64 it matches the same bytes shown as Latin-1 text."""
    encoded = _bytes_of(value, modifier).decode().encode(encoding)
    result = _EncodedString()
    result.s = [("\ufeff" if mark else "") + encoded.decode("latin-1")] if encoded or mark else []
    result.encoded = mark + encoded
    return result


class ExactWideModifier(SigmaWideModifier):
    """``wide`` and ``utf16le``: UTF-16 little-endian without mark."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _encode(val, "utf-16-le", b"", "wide")


class ExactUTF16BEModifier(SigmaUTF16BEModifier):
    """``utf16be``: UTF-16 big-endian without mark."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _encode(val, "utf-16-be", b"", "utf16be")


class ExactUTF16Modifier(SigmaUTF16Modifier):
    """``utf16``: UTF-16 little-endian after the mark FF FE."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _encode(val, "utf-16-le", b"\xff\xfe", "utf16")


class ExactBase64Modifier(SigmaBase64Modifier):
    """``base64``: the text's bytes (UTF-8 unless an encoding came before) in Base64."""

    def modify(self, val: SigmaString) -> SigmaString:
        return SigmaString.from_str(b64encode(_bytes_of(val, "base64")).decode())


class ExactBase64OffsetModifier(SigmaBase64OffsetModifier):
    """``base64offset``: what the bytes look like inside Base64 text at each of three offsets."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        encoded = _bytes_of(val, "base64offset")
        return SigmaExpansion(
            [
                SigmaString.from_str(
                    b64encode(b" " * offset + encoded)[_START[offset] : _END[(len(encoded) + offset) % 3]].decode()
                )
                for offset in range(3)
            ]
        )


EXACT_MODIFIERS = {
    "wide": ExactWideModifier,
    "utf16le": ExactWideModifier,
    "utf16be": ExactUTF16BEModifier,
    "utf16": ExactUTF16Modifier,
    "base64": ExactBase64Modifier,
    "base64offset": ExactBase64OffsetModifier,
}


@contextmanager
def exact_modifiers() -> Iterator[None]:
    """pySigma parses with the modifiers of this module while the context is open."""
    before = {name: modifier_mapping.get(name) for name in EXACT_MODIFIERS}
    modifier_mapping.update(EXACT_MODIFIERS)
    try:
        yield
    finally:
        for name, modifier in before.items():
            if modifier is None:
                del modifier_mapping[name]
            else:
                modifier_mapping[name] = modifier
