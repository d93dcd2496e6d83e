"""Hostile text made safe to show in a terminal.

Text from evidence may hold escape sequences, line breaks, bidirectional controls that reorder what
is read (https://trojansource.codes), zero-width characters and markup of the display library.  Each
such character is written as its code, so it is seen and does nothing.  Markup is not interpreted
because everything is put into :class:`rich.text.Text`, never into a markup string.
"""

from __future__ import annotations

import unicodedata

# Cc control, Cf format (bidi, zero width), Cs surrogate, Co private, Cn unassigned, Zl/Zp line separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, width: int | None = None) -> str:
    """`text` with every character that is not plainly visible written as its code, cut to `width`."""
    if text.isascii() and text.isprintable() and (width is None or len(text) <= width):
        return text  # most text is, and asking about each character takes longer
    shown = "".join(_shown(character) for character in (text if width is None else text[: 4 * width]))
    if width is not None and len(shown) > width:
        return shown[: max(width - 1, 0)] + "…"
    return shown


def visible_end(text: str, width: int) -> str:
    """Like :func:`visible`, but the end is kept that tells alike ones apart: of a path, and of a host's service."""
    if len(text) <= width:
        return visible(text, width)
    if "/" not in text:
        host, blank, service = text.rpartition(" ")
        rest = width - 1 - len(visible(service))
        return f"{visible(host, rest)} {visible(service)}" if blank and rest > width // 3 else visible(text, width)
    kept = visible(text[-(width - 1) :])
    return "…" + kept[-(width - 1) :]


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("M"):  # combining marks stack over neighbouring lines
        return f"\\u{ord(character):04x}"
    if category not in _HIDDEN:
        return " " if category == "Zs" else character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
