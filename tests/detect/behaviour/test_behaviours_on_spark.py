"""A cluster says of the same drawn traffic what one machine says; analytics that the demo does not reach."""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Mapping

import ibis
import pytest
from network_rows import flow, ocsf_tables
from test_network_behaviour import ASSET, WITH_CORE, read_and_sent, through
from test_shared_fingerprints import ODD, PATHS, TEAM, VISITORS, crowd, guessing, hello, web

from casemate.detect.behaviour import ANALYTICS
from casemate.detect.behaviour.analytics import DERIVED, LOOKED_AT, PAIRS
from casemate.detect.behaviour.rules import Statements
from casemate.engine.duckdb import DuckDBEngine
from casemate.engine.protocol import Engine

NEIGHBOURS = ["198.51.100.30", "198.51.100.31", "198.51.100.32", "198.51.100.33"]
REFUSED = {"unmapped_conn_state": "REJ", "traffic_bytes_in": 0}
ROWS = {
    "flows": [
        *through(),
        *read_and_sent(),
        *(flow(at, source, f"10.0.0.{at}", 443, **REFUSED) for source in TEAM for at in range(3)),
    ],
    "requests": [*VISITORS, *(web(source, "kestrel/0.3", path) for source in TEAM for path in PATHS)],
    "handshakes": [
        *(hello(source, "t13i0310h1_aaaa_bbbb") for source in TEAM),
        *(hello(source, "t13d1516h2_cccc_dddd") for source in crowd()),
    ],
    **guessing(TEAM, ODD),
}
ROWS["logons"] += [
    {**row, "src_endpoint_ip": source, "user_name": f"user{number}"}
    for source in NEIGHBOURS
    for number, row in enumerate(guessing(TEAM, ODD)["logons"][:4])
]
EXPECTED = {
    "relays": {"relay": 1},
    "assets": {"sent_after_asset_read": 1},
    "spread_guessing": {"guessing_from_network": 1},
    "shared_fingerprints": {"shared_fingerprint": 3},
}


def statements(engine: Engine, name: str, ocsf: Mapping[str, ibis.Table]) -> Statements:
    """What one analytic says, executed step by step as in a case."""
    tables = {**ocsf, LOOKED_AT: ocsf["network_activity"]}
    analytic = next(one for one in ANALYTICS if one.name == name)
    wanted = {table for source in analytic.sources for table in source.reads}
    for derived in DERIVED:
        if derived.name == PAIRS or derived.name in wanted:
            tables[derived.name] = engine.hold(derived.build(*(tables[table] for table in derived.reads), WITH_CORE))
    first, *others = [
        source.build(*(tables[table] for table in source.reads), WITH_CORE.networks, source.settings)
        for source in analytic.sources
    ]
    for other in others:
        first = first.union(other)
    made = analytic.judge(analytic.narrow(engine.hold(first), analytic.settings), analytic.settings)
    return Statements(engine.hold(made.rows), made.summarise)


@pytest.mark.spark
@pytest.mark.parametrize("name", EXPECTED)
def test_a_cluster_says_the_same(spark: Engine, name: str) -> None:
    here = DuckDBEngine()
    said = []
    for engine in (here, spark):
        made = statements(engine, name, ocsf_tables(engine, **ROWS))
        rows = engine.collect(made.findings.order_by("key")).to_pylist()
        records = engine.collect(made.records.distinct().order_by(["key", "evidence", "record"])).to_pylist()
        said.append((rows, records))
    here.close()
    told = [row["rule"] for row in said[0][0]]
    assert {rule: told.count(rule) for rule in told} == EXPECTED[name]
    assert said[1] == said[0]
    assert ASSET in {row.get("asset", ASSET) for row in said[0][0]}
