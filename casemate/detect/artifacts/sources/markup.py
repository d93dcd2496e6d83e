"""What a browser would run in HTML, SVG or JavaScript that an artefact carries, e.g. as a notebook's output."""

from __future__ import annotations

import re

from casemate.detect.artifacts.sources.acts import Act

ACTIVE = re.compile(
    r"<script\b|<iframe\b[^>]{0,400}\b(?:srcdoc|src\s*=\s*[\"']?\s*(?:javascript|data):)|\bon(?:error|load|click|mouseover|focus|toggle|begin)\s*=|"
    r"javascript:|<object\b|<embed\b|<meta[^>]{1,400}http-equiv\s*=\s*[\"']?refresh|<svg[^>]{0,400}onload|<base\b|<form\b[^>]{0,400}action\s*=\s*[\"']https?:",
    re.IGNORECASE,
)
KNOWN = re.compile(
    r"bokeh|plotly|vega|altair|require\.config|requirejs|jupyter-widgets|application/vnd|d3\.|mermaid|MathJax|"
    r"katex|google\.colab\.kernel|colab-df-|kernel\.invokeFunction|dataframe-table|leaflet|folium|pyvis|vis-network|"
    r"panel|holoviews|anywidget|_repr_html_|datatables|itables|toggle_sibling|echarts|highcharts|"
    r"googleColab|sklearn-|sk-top-container|shap\b|ipywidgets|tensorboard",
    re.IGNORECASE,
)
"""Libraries that put scripts into outputs as a matter of course."""
BAD: tuple[tuple[str, str], ...] = (
    (r"(?:Jupyter|IPython)\.notebook\.kernel\.execute|kernel\.execute\s*\(|requestExecute|kernel\.requestExecute|"
     r"(?:Jupyter|IPython)\.notebook\.kernel\b[\s\S]{0,400}?\.execute\s*\(|session\.kernel|notebook:run|runmenu|executeCode|execute_all_cells|cell\.execute\(",
     "a script that runs code in the kernel"),
    (r"document\.cookie|localStorage\.getItem|sessionStorage\.getItem|_xsrf|indexedDB", "a script that reads the reader's session"),  # noqa: E501
    (r"/api/(?:terminals|kernels|contents|sessions)", "a script that uses the notebook server"),
    (r"\b(?:fetch|XMLHttpRequest|sendBeacon|WebSocket|EventSource)\b[\s\S]{0,400}?[\"'`](?:https?:|wss?:|//)", "a script that talks to a server"),  # noqa: E501
    (r"new\s+Image\(\)[\s\S]{0,120}?\.src\s*=", "a script that talks to a server"),
    (r"\beval\s*\(\s*(?:atob|unescape|String\.fromCharCode|decodeURIComponent)|new\s+Function\s*\(\s*(?:atob|unescape)|"
     r"String\.fromCharCode\((?:\s*\d+\s*,){12,}|setTimeout\s*\(\s*atob|document\.write\s*\(\s*(?:atob|unescape)", "a script that hides what it does"),  # noqa: E501
    (r"window\.(?:top\.)?location(?:\.href)?\s*=|(?<!\.)\blocation\.(?:href\s*=|replace\()|"
     r"http-equiv\s*=\s*[\"']?refresh", "a page that sends the reader elsewhere"),
    (r"<iframe\b[^>]{0,400}(?:javascript:|data:text/html|srcdoc)", "a frame that carries a script"),
)  # fmt: skip
_BAD = tuple((re.compile(pattern, re.IGNORECASE), why) for pattern, why in BAD)
_LIBRARY_SCRIPT = re.compile(
    r"<script\b[^>]{0,400}\bsrc\s*=\s*[\"']https://(?:cdn\.(?:plot\.ly|bokeh\.org|jsdelivr\.net|pydata\.org|datatables\.net)|cdnjs\.cloudflare\.com|"
    r"unpkg\.com|code\.jquery\.com|d3js\.org|www\.gstatic\.com|requirejs\.org|esm\.sh|ajax\.googleapis\.com|polyfill-fastly\.io)/[^>]{0,400}>\s*</script>",
    re.IGNORECASE,
)
_LIBRARY_SIZE = 20_000
"""A library put into an output whole is longer than an attack needs to be; its requests are not told apart here."""


def judge_markup(text: str, line: int = 1) -> list[Act]:
    """Acts of a page or fragment."""
    rest = _LIBRARY_SCRIPT.sub("", text)
    active = ACTIVE.search(rest)
    if active is None:
        return []
    return judge_script(rest, line) or [
        Act("script", f"active content: {active.group()[:60]!r}", line, severity="note" if KNOWN.search(rest) else None)
    ]


def judge_script(text: str, line: int = 1) -> list[Act]:
    """Acts of a script; empty when nothing is known against it."""
    library = bool(KNOWN.search(text)) and len(text) > _LIBRARY_SIZE
    found = []
    for pattern, why in _BAD:
        match = pattern.search(text)
        if match and not library:
            colab = KNOWN.search(text) and "server" in why
            found.append(
                Act("script", f"{why}: {match.group()[:80]!r}", line, severity="note" if colab else "malicious")
            )
    return found
