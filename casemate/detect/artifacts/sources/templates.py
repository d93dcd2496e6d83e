"""Jinja templates (chat templates of tokenizers and GGUF files): what an expression reaches for.

``transformers`` renders them in an ``ImmutableSandboxedEnvironment``, other programs (CVE-2024-34359) without a
sandbox.  An honest chat template walks messages and joins text; it needs no attribute that begins with underscores.
"""

from __future__ import annotations

import re

from casemate.detect.artifacts.sources.acts import Act

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_EXPRESSION = re.compile(r"\{[{%][-+]?(.*?)(?:[-+]?[%}]\}|\Z)", re.DOTALL)
_IMPORTS = re.compile(r"^\s*(?:import|include|extends|from)\b")
ESCAPES: tuple[tuple[str, str], ...] = (
    (r"__\w+__", "an attribute with underscores"),
    (r"\b(?:cycler|joiner|lipsum|get_flashed_messages|url_for|request|config|dict|range|g)\s*(?:\.\s*_|\[\s*['\"]_|\|\s*attr)",
     "what the environment defines is used as a way out"),
    (r"\b(?:lipsum|get_flashed_messages|url_for|self)\s*[.\[|]", "what the environment defines is used as a way out"),
    (r"\|\s*attr\s*\(", "an attribute by text"),
    (r"\\x5f|\\u005f|\\137|&#95;", "underscores written in another way"),
    (r"['\"]_{1,2}['\"]\s*(?:\*|~|\+)|['\"]\s*~\s*['\"]_{1,2}|['\"]__\w*['\"]\s*[~+]", "a name with underscores that is put together"),  # noqa: E501
    (r"\b(?:popen|subprocess|eval|exec|getattr|setattr|__import__|builtins|importlib)\b\s*[(.\[]", "a call that runs code"),  # noqa: E501
    (r"\bos\s*\.\s*(?:system|popen|environ|exec)", "a call that runs commands"),
    (r"\.\s*(?:mro|format_map|gi_frame|gi_code|f_globals|func_globals|im_func|cr_frame|tb_frame)\b", "an attribute that leads out of the sandbox"),  # noqa: E501
)  # fmt: skip
_ESCAPES = tuple((re.compile(pattern), why) for pattern, why in ESCAPES)


def is_template(text: str) -> bool:
    """Whether it holds Jinja expressions."""
    return "{{" in text or "{%" in text


def judge_template(text: str) -> list[Act]:
    """Acts of a template."""
    if "#}" in text:
        text = _COMMENT.sub("", text[: text.rindex("#}") + 2]) + text[text.rindex("#}") + 2 :]
    found = []
    for match in _EXPRESSION.finditer(text):
        inside = match.group(1)
        line = text.count("\n", 0, match.start()) + 1
        for pattern, why in _ESCAPES:
            hit = pattern.search(inside)
            if hit:
                found.append(Act("template_escape", f"{why}: {inside.strip()[:120]!r}", line, severity="malicious"))
                break
        else:
            if _IMPORTS.match(inside):
                found.append(Act("template_import", f"another template is read: {inside.strip()[:80]!r}", line))
    return found[:20]
