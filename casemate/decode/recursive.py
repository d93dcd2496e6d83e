"""Decode a text again and again, outer layers first, until nothing new comes out or a limit is reached."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from casemate.decode.forms import Form
from casemate.decode.model import NOTHING, Budget, Decoding, Piece, Variant
from casemate.decode.signs import Decoder, signs_of
from casemate.limits import Limits

REACHED = {
    "input": "only the first {0.decode_input_characters:,} characters were looked at",
    "tries": "{0.decode_tries:,} candidates were tried, which is the limit",
    "output": "{0.decode_output_bytes:,} bytes came out, which is the limit",
    "texts": "{0.decode_texts} texts came out, which is the limit",
    "depth": "{0.decode_depth} layers were opened, which is the limit",
}
"""Limits, and what is said where one was reached."""


def decode(text: str, form: Form, limits: Limits) -> Decoding:
    """All variants of a text.

    Args:
        text: as recorded; hostile.
        form: what kind of text it is (:mod:`casemate.decode.forms`).
        limits: of these those that begin with ``decode_``.

    Returns:
        Variants, each text once, outer layers first; the same for the same arguments, always.
    """
    first = signs_of(form.decoders).found(text[: limits.decode_input_characters])
    if not first:
        return NOTHING
    budget = Budget(limits)
    reached: list[str] = []
    if len(text) > limits.decode_input_characters:
        text = text[: limits.decode_input_characters]
        reached.append("input")
    inner = form.inner or form
    known = {text}
    variants: list[Variant] = []
    waiting = deque([(text, first, Variant(text, (), 0))])
    while waiting and "texts" not in reached:
        outer, found, path = waiting.popleft()
        for piece in _pieces(outer, found, budget):
            if piece.text in known:
                continue
            if len(variants) >= limits.decode_texts or path.depth >= limits.decode_depth:
                reached.append("texts" if len(variants) >= limits.decode_texts else "depth")
                break
            known.add(piece.text)
            limit = REACHED.get(piece.limit or "", piece.limit or "").format(limits) or path.limit
            variant = Variant(piece.text, (*path.steps, *piece.steps), path.depth + 1, limit)
            variants.append(variant)
            more = signs_of(inner.decoders).found(piece.text)
            if more:
                waiting.append((piece.text, more, variant))
    if budget.hit:
        reached.append(budget.hit)
    said = "; ".join(REACHED[name].format(limits) for name in dict.fromkeys(reached)) or None
    return Decoding(tuple(variants), said)


def _pieces(text: str, found: list[tuple[Decoder, list[int]]], budget: Budget) -> Iterator[Piece]:
    for decoder, places in found:
        yield from decoder.find(text, budget, places)
