"""Which sources and targets matter, by signal and not by volume.

Signal = for each different rule that spoke about the source (or target), the weight of the highest
severity it spoke with, added up.  A million probes of one rule weigh as much as one.  Those with a
success come first, whatever their signal; the number of findings decides only between equals.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis

SEVERITY_WEIGHTS: dict[str, int] = {"informational": 0, "low": 1, "medium": 4, "high": 16, "critical": 64}

DEFINITION = "successes first, then the highest severity of each different rule, added up (low 1, medium 4, high 16, critical 64)"  # noqa: E501


def ranked(findings: ibis.Table, end: str) -> ibis.Table:
    """Known sources (`end` = ``source``) or targets (``target``), most telling first.

    Columns: ``kind, value, signal, succeeded, rules, findings``.
    """
    value = findings[end]["value"]
    if end == "target":
        service = findings.target["service"]
        value = ibis.ifelse(service.notnull() & (service != ""), value + " " + service, value)
    named = findings.select(
        kind=findings[end]["kind"],
        value=value,
        rule_id=findings.rule_id,
        weight=ibis.cases(
            *((findings.severity == name, weight) for name, weight in SEVERITY_WEIGHTS.items()), else_=0
        ).cast("int64"),
        succeeded=(findings.outcome == "succeeded").cast("int64"),
    )
    named = named.filter(named.value.notnull() & (named.value != "") & (named.kind != "unknown"))
    per_rule = named.group_by(["kind", "value", "rule_id"]).agg(
        weight=named.weight.max(), succeeded=named.succeeded.sum(), findings=named.count()
    )
    scored = per_rule.group_by(["kind", "value"]).agg(
        signal=per_rule.weight.sum().cast("int64"),
        succeeded=per_rule.succeeded.sum().cast("int64"),
        rules=per_rule.count(),
        findings=per_rule.findings.sum().cast("int64"),
    )
    return scored.order_by(
        [
            ibis.desc((scored.succeeded > 0).cast("int64")),
            ibis.desc(scored.signal),
            ibis.desc(scored.findings),
            scored.kind,
            scored.value,
        ]
    )
