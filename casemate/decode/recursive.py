"""Decode a text again and again, outer layers first, until nothing new comes out or a limit is reached."""

from __future__ import annotations

from collections import deque

from casemate.decode.forms import INNER, Form, may_hold
from casemate.decode.model import NOTHING, Budget, Decoding, Variant
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
    if not may_hold(form, text):
        return NOTHING
    budget = Budget(limits)
    reached: list[str] = []
    if len(text) > limits.decode_input_characters:
        text = text[: limits.decode_input_characters]
        reached.append("input")
    known = {text}
    variants: list[Variant] = []
    waiting: deque[tuple[str, Form, tuple[str, ...], int, str | None]] = deque([(text, form, (), 0, None)])
    inner = INNER.get(form, form)
    while waiting:
        outer, kind, steps, depth, cut = waiting.popleft()
        for decoder in kind.decoders:
            for piece in decoder(outer, budget):
                if piece.text in known:
                    continue
                if len(variants) >= limits.decode_texts:
                    reached.append("texts")
                    break
                if depth >= limits.decode_depth:
                    reached.append("depth")
                    break
                known.add(piece.text)
                limit = REACHED.get(piece.limit or "", piece.limit or "").format(limits) or cut
                variants.append(Variant(piece.text, (*steps, *piece.steps), depth + 1, limit))
                if may_hold(inner, piece.text):
                    waiting.append((piece.text, inner, (*steps, *piece.steps), depth + 1, limit))
            if reached and reached[-1] in ("texts", "depth"):
                break
        if "texts" in reached:
            break
    if budget.hit:
        reached.append(budget.hit)
    said = "; ".join(REACHED[name].format(limits) for name in dict.fromkeys(reached)) or None
    return Decoding(tuple(variants), said)
