"""Stacking: how often each value of a field stands in the records, the least frequent first.

What only one host shows stands before what many show, and then the fewest records.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping

import ibis

from casemate.errors import BadInput
from casemate.explore.timeline import WHO, Looking, first_known, narrowed


def stack(tables: Mapping[str, ibis.Table], field: str, looking: Looking) -> ibis.Table:
    """Values of `field` over all `tables` that have it.

    Args:
        tables: OCSF tables by class.
        field: name of a column, as ``docs/tables.md`` lists them.
        looking: which records.

    Returns:
        ``value, hosts, records, example_host, first, last`` (UTC); records without the field are left out.

    Raises:
        BadInput: no table has it.
    """
    having = {name: table for name, table in tables.items() if field in table.columns}
    if not having:
        known = sorted({column for table in tables.values() for column in table.columns})
        near = [name for name in known if field.lower() in name][:8]
        raise BadInput(f"no field '{field}'", hint="one of " + ", ".join(near or known[:8]) + ", ... (docs/tables.md)")
    parts = []
    for table in having.values():
        rows = narrowed(table, looking)
        rows = rows.select(value=rows[field].cast("string"), host=first_known(rows, WHO["host"]), time=rows.time)
        parts.append(rows.filter(rows.value.notnull()))
    rows, *others = parts
    for other in others:
        rows = rows.union(other, distinct=False)
    return rows.group_by("value").aggregate(
        hosts=rows.host.nunique(),
        records=rows.count(),
        example_host=rows.host.min(),
        first=rows.time.min(),
        last=rows.time.max(),
    )


def in_order(stacked: ibis.Table) -> ibis.Table:
    """The least frequent first."""
    return stacked.order_by(stacked.hosts, stacked.records, stacked.value)
