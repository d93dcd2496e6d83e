"""How the report looks, on a screen and on paper.  One style sheet, named in the page's policy by its hash."""

from __future__ import annotations

import base64
import hashlib

TLP_COLOURS: dict[str, str] = {
    "red": "#ff2b2b",
    "amber": "#ffc000",
    "amber+strict": "#ffc000",
    "green": "#33ff00",
    "clear": "#ffffff",
}
"""Text colours of the markings on black: https://www.first.org/tlp/ (version 2.0)."""

SHEET = """
:root{--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--pale:#f6f8fa;--bad:#b42318;--warn:#9a6700;--ok:#1a7f37;
--blue:#0b5cad}
*{box-sizing:border-box}
html{scroll-behavior:auto}
body{margin:0;color:var(--ink);background:#fff;font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
.page{max-width:1180px;margin:0 auto;padding:0 28px 60px}
header{padding:22px 0 6px}
.bar{display:flex;justify-content:space-between;gap:20px;align-items:baseline;color:var(--soft);font-size:13px}
.tlp{background:#000;padding:2px 9px;font-weight:700;font-size:13px;white-space:nowrap}
h1{font-size:20px;margin:6px 0 0}
.answer{font-size:23px;line-height:1.32;font-weight:650;margin:14px 0 16px;max-width:60ch}
h2{font-size:18px;margin:38px 0 8px;padding-top:10px;border-top:2px solid var(--ink)}
h3{font-size:15px;margin:18px 0 4px}
p{margin:6px 0}
.note{color:var(--soft);font-size:13px;max-width:120ch}
nav{font-size:13px;margin:10px 0;display:flex;flex-wrap:wrap;gap:4px 16px}
a{color:var(--blue);text-decoration:none}
a:hover{text-decoration:underline}
.cards{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:14px 0}
.card{border:1px solid var(--line);border-radius:6px;padding:10px 14px}
.card b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:13px}
.blind{border-left:4px solid var(--warn);background:#fff8e5;padding:8px 14px;margin:12px 0}
table{border-collapse:collapse;width:100%;font-size:13px;margin:8px 0}
th{text-align:left;font-weight:600;color:var(--soft);border-bottom:1px solid var(--ink);padding:4px 10px 4px 0;
vertical-align:bottom}
td{border-bottom:1px solid var(--line);padding:4px 10px 4px 0;vertical-align:top;overflow-wrap:anywhere}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.t,.t{white-space:nowrap;font-variant-numeric:tabular-nums}
.w,td .succeeded,td .failed,td .blocked,td .unknown{overflow-wrap:normal}
.e{display:inline-block;min-width:11ch}
.wide{min-width:17ch}
.two{display:grid;grid-template-columns:1fr 1fr;gap:28px}
.sev{display:inline-block;min-width:62px;font-size:12px;font-weight:700;white-space:nowrap}
.critical,.high,.succeeded{color:var(--bad)}
.medium{color:var(--warn)}
.low{color:var(--blue)}
.informational,.unknown,.soft{color:var(--soft)}
.succeeded{font-weight:700}
.blocked,.failed{color:var(--ok)}
.matrix{table-layout:fixed}
.matrix td{border:0;padding:2px 6px 2px 0;vertical-align:top}
.matrix th{font-size:12px;padding-right:6px;overflow-wrap:anywhere;text-transform:capitalize}
.cell{display:block;border:1px solid var(--line);border-left:4px solid var(--soft);border-radius:3px;
padding:2px 6px;margin:0 0 4px;font-size:12px;line-height:1.35;color:var(--ink)}
.cell small{color:var(--soft);display:block}
.cell.s-critical,.cell.s-high{border-left-color:var(--bad)}
.cell.s-medium{border-left-color:var(--warn)}
.cell.s-low{border-left-color:var(--blue)}
article{border:1px solid var(--line);border-radius:6px;padding:10px 14px;margin:10px 0}
article:target,.rec:target,tr:target{outline:3px solid #ffbf47}
article h3{margin:0 0 2px;font-size:15px;overflow-wrap:anywhere}
.meta{font-size:13px;color:var(--soft);overflow-wrap:anywhere}
.why{font-size:13px;margin:8px 0 4px}
.why ul{margin:0;padding-left:18px}
.why li{margin:1px 0;overflow-wrap:anywhere}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:12px}
code{background:var(--pale);padding:0 3px;border-radius:3px;overflow-wrap:anywhere}
pre{background:var(--pale);border:1px solid var(--line);border-radius:4px;padding:8px 10px;margin:4px 0 0;
white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.rec{margin:14px 0}
.rec .meta{font-size:12px}
svg{display:block;width:100%;height:auto;margin:6px 0}
svg text{font:11px system-ui,"DejaVu Sans",sans-serif;fill:#57606a}
svg .name{fill:#1b1f24}
.f{fill:#b42318}.r{fill:#b6c7d9}.none{fill:#ffd98a}.axis{stroke:#8c959f;stroke-width:1}
.seen{fill:#7aa7d2}.gap{fill:#ffd98a;stroke:#9a6700;stroke-width:.6}.usual{fill:#dbe6f1}
footer{margin-top:40px;border-top:1px solid var(--line);padding-top:10px;color:var(--soft);font-size:12px}
@media (max-width:800px){.cards{grid-template-columns:1fr 1fr}.two{grid-template-columns:1fr}.answer{font-size:20px}}
@media print{
@page{size:A4;margin:16mm 13mm}
body{font-size:10pt}
.page{max-width:none;padding:0}
nav{display:none}
a{color:inherit}
.answer{font-size:15pt}
h2{break-after:avoid;margin-top:20px}
h3,.meta{break-after:avoid}
article,.card,.blind,tr,svg,.cell{break-inside:avoid}
thead{display:table-header-group}
.why,.meta,.note{font-size:8.5pt}
table{font-size:8pt}
td,th{padding-right:6px}
code,pre{font-size:7.5pt}
.tlp,.blind,.card,pre,svg *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""


def sheet(tlp: str) -> str:
    """The style sheet for a case of this marking; the marking stands on every printed page."""
    colour = TLP_COLOURS[tlp]
    mark = f'"TLP:{tlp.upper()}"'
    corner = "font:700 9pt sans-serif;color:#000"
    return (
        f"{SHEET}.tlp{{color:{colour}}}\n@page{{@top-right{{content:{mark};{corner}}}"
        f'@bottom-right{{content:"page " counter(page) " of " counter(pages);font:8pt sans-serif}}}}\n'
    )


def policy(style: str) -> str:
    """The Content-Security-Policy of a page with this style sheet and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
