"""``casemate query``: one SELECT over the case."""

from __future__ import annotations

from typing import Annotated

import typer

from casemate.case import Case
from casemate.cli.options import CaseOption, JsonOption
from casemate.cli.output import write_json_lines, write_table
from casemate.explore.event_views import event_views
from casemate.explore.query import query as run_query

EXAMPLES = 'Example: casemate query "SELECT severity, count(*) n FROM findings GROUP BY ALL" --case CASE'
SHOWN_ROWS = 500


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT statement.", metavar="SQL", show_default=False)],
    case: CaseOption,
    as_json: JsonOption = False,
) -> None:
    """Ask the case's tables with SQL (DuckDB's dialect), read only.

    Tables: evidence, registrations, rejects, findings, finding_records, attempts, attempt_findings, rules; native
    ones such as zeek_conn; OCSF ones such as network_activity. docs/tables.md names all columns.
    """
    with Case.open(case) as opened:
        events = event_views(opened, sql)
        rows = run_query(opened, sql, extra_views=events.views, extra_tables=events.empty)
        if as_json:
            write_json_lines(rows)
            return
        shown = []
        for row in rows:
            if len(shown) == SHOWN_ROWS:
                typer.echo(f"(only the first {SHOWN_ROWS} rows are shown; --json prints all)", err=True)
                break
            shown.append(row)
    if shown:
        write_table(list(shown[0]), [list(row.values()) for row in shown])
    else:
        typer.echo("(no rows)", err=True)
