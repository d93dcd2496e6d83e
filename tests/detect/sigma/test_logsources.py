"""Log sources: the right records, and only columns that exist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sigma_helpers import matched

from casemate.detect.sigma.derived import DERIVED, DERIVED_PREFIX
from casemate.detect.sigma.endpoints import TABLES
from casemate.detect.sigma.logsources import TABLE, EventSource, sources_for
from casemate.detect.sigma.logsources.findings import FINDING_TABLE
from casemate.detect.sigma.logsources.network import ZEEK_FIELDS
from casemate.evidence.readers import READERS

COLUMNS = {table.name: {column.lower() for column in table.columns} for spec in READERS for table in spec.tables}
KEYS_OF_REST = {
    "windows_event": {
        "action name",  # Defender 1116, 1117, by exporter
        "actionname",
        "feature name",  # Defender 5001, by exporter
        "featurename",
    }
}
"""What a log source names though it stands in ``rest``: too rare for a column of its own."""


def every_source() -> Iterator[EventSource]:
    """All event sources of records that Casemate knows (tunings ask findings themselves)."""
    for sources in TABLE.values():
        yield from (source for source in sources if source.table != FINDING_TABLE)
    for service in ZEEK_FIELDS:
        yield from sources_for("zeek", None, service)


def names_of(source: EventSource) -> Iterator[str]:
    """Columns that an event source names."""
    for name in (*(where.column for where in source.where), *source.one_of, *source.fields.values()):
        if name.startswith(DERIVED_PREFIX):
            yield from DERIVED[name.removeprefix(DERIVED_PREFIX)].columns
        else:
            yield name


def test_every_column_a_log_source_names_exists() -> None:
    for source in every_source():
        known = COLUMNS[source.table] | KEYS_OF_REST.get(source.table, set())
        assert {name.lower() for name in names_of(source)} <= known, source.name


@pytest.mark.parametrize("table", TABLES)
def test_every_column_that_endpoints_are_taken_from_exists(table: str) -> None:
    assert {name.lower() for name in TABLES[table].columns} <= COLUMNS[table]


@pytest.mark.parametrize("table", ["syslog", "journald"])
def test_user_is_who_asked_and_upper_case_user_is_whom_sudo_ran_as(table: str) -> None:
    program = "program" if table == "syslog" else "SYSLOG_IDENTIFIER"
    sudo = {program: "sudo", "user": "ann", "target_user": "root"}
    sshd = {program: "sshd", "user": "ann", "source_ip": "203.0.113.9"}
    records = [sudo, sshd]

    def found(service: str, detection: dict[str, str]) -> list[int]:
        source = {"product": "linux", "service": service}
        return matched({"logsource": source, "detection": {"a": detection, "condition": "a"}}, records, table=table)

    assert found("sudo", {"USER": "root"}) == [0]
    assert found("sudo", {"user": "root"}) == []
    assert found("sudo", {"user": "ann"}) == [0]
    assert found("sshd", {"user": "ann"}) == [1]
    assert found("sshd", {"USER": "ann"}) == [1]
    assert found("auth", {"user": "ann"}) == [0, 1]
    assert found("sshd", {"src_ip": "203.0.113.9"}) == [1]


@pytest.mark.parametrize("asked", [{"SYSCALL": "init_module"}, {"syscall": 175}, {"syscall": "175"}])
def test_a_system_call_is_found_by_name_and_by_number(asked: dict[str, str | int]) -> None:
    document = {"logsource": {"product": "linux", "service": "auditd"}, "detection": {"a": asked, "condition": "a"}}
    records = [{"type": "SYSCALL", "syscall": "175", "syscall_name": "init_module"}, {"type": "CWD", "cwd": "175"}]
    assert matched(document, records, table="linux_audit") == [0]


def test_earlier_stages_of_a_request_to_a_cluster_are_passed_over() -> None:
    document = {
        "logsource": {"product": "kubernetes", "service": "audit"},
        "detection": {"a": {"verb": "create"}, "condition": "a"},
    }
    records = [{"verb": "create", "superseded": "true"}, {"verb": "create", "superseded": None}]
    assert matched(document, records, table="kubernetes_audit") == [1]


@pytest.mark.parametrize(
    ("source", "tables"),
    [
        ((None, "process_creation", None), {"windows_event", "linux_sysmon", "linux_audit"}),
        (("linux", "process_creation", None), {"linux_sysmon", "linux_audit"}),
        ((None, "webserver", None), {"web_access", "zeek_http", "suricata_event"}),
        (("zeek", None, "smb_files"), {"zeek_smb_files"}),
        (("WINDOWS", None, "Security"), {"windows_event"}),
        (("windows", "process_creation", "sysmon"), {"windows_event"}),
        (("toaster", None, None), set()),
        ((None, None, None), set()),
    ],
)
def test_a_log_source_means_these_tables(source: tuple[str | None, ...], tables: set[str]) -> None:
    assert {found.table for found in sources_for(*source)} == tables
