"""Levels that are switched off: what a source, as it is configured, does not record.

Each check counts records of a source that are there and concludes that others are not.  A check says what is
absent *in what was handed over*: an export that picked records lacks things too, so the number of records that the
conclusion rests on is given, and conclusions from absence alone need at least :data:`ENOUGH` of them.

Sources: Microsoft, "Audit Process Creation" (command lines are off by default) and "about_Logging_Windows"; AWS,
"Logging data events" (off by default); Kubernetes, "Auditing" (levels); the manual pages of httpd, nginx, auditd.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ibis

from casemate.detect.coverage.sources import Collect, of_source

ENOUGH = 50
"""Records from which absence of something usual is told."""
LOSS_PERCENT = 1.0
Counts = Mapping[str, int]
Count = Callable[[ibis.Table], ibis.Value]


@dataclass(frozen=True)
class Check:
    """A conclusion from counts: `lacks` names what is absent, `when` whether it is, `says` what follows."""

    name: str
    basis: str
    when: Callable[[Counts], bool]
    says: str


@dataclass(frozen=True)
class Level:
    """What a source does not record; `records` is how many records the conclusion rests on."""

    check: str
    table: str
    host: str | None
    records: int
    says: str


def _is(column: str, *values: str) -> Count:
    return lambda table: table[column].lower().isin([value.lower() for value in values])


def _both(*tests: Count) -> Count:
    def together(table: ibis.Table) -> ibis.Value:
        first, *others = [test(table).fill_null(False) for test in tests]
        for other in others:
            first = first & other
        return first

    return together


def _there(column: str) -> Count:
    return lambda table: table[column].notnull() & (table[column] != "") & (table[column] != "-")


def _shell(table: ibis.Table) -> ibis.Value:
    image = ibis.coalesce(table.NewProcessName, table.Image, "").lower()
    started = table.EventID.isin(["4688", "1"])
    return started & (image.endswith("\\powershell.exe") | image.endswith("\\pwsh.exe"))


def _channel(name: str) -> Count:
    return _is("Channel", name)


def _not(test: Count) -> Count:
    return lambda table: ~test(table).fill_null(False)


SYSMON = "Microsoft-Windows-Sysmon/Operational"
POWERSHELL = "Microsoft-Windows-PowerShell/Operational"

COUNTS: dict[str, dict[str, Count]] = {
    "windows_event": {
        "security": _channel("security"),
        "sysmon": _channel(SYSMON),
        "sysmon_starts": _both(_channel(SYSMON), _is("EventID", "1")),
        "powershell": lambda table: table.Channel.lower().isin([POWERSHELL.lower(), "windows powershell"]),
        "shells": _shell,
        "scripts": _is("EventID", "4104"),
        "starts": _both(_is("EventID", "4688"), _not(_channel(SYSMON))),
        "start_commands": _both(_is("EventID", "4688"), _there("CommandLine")),
        "logons": _is("EventID", "4624"),
        "failures": _is("EventID", "4625"),
    },
    "web_access": {"statuses": _there("status")},
    "cloudtrail": {
        "data": lambda table: (table.eventCategory == "Data") | (table.managementEvent.lower() == "false"),
    },
    "kubernetes_audit": {
        "bodies": _is("level", "Request", "RequestResponse"),
        "reads": _is("verb", "get", "list", "watch"),
    },
    "linux_audit": {"commands": _is("type", "EXECVE")},
    "zeek_capture_loss": {
        "lost": lambda table: (
            ibis.ifelse(
                table.percent_lost.re_search(r"^[0-9]{1,3}(\.[0-9]{1,15})?$"), table.percent_lost, ibis.null("string")
            ).cast("float64")
            > LOSS_PERCENT
        ),
    },
}
"""By native table: what is counted, beside ``records``."""

CHECKS: dict[str, tuple[Check, ...]] = {
    "windows_event": (
        Check("sysmon_absent", "security", lambda has: has["security"] > 0 and not has["sysmon"],
              "no Sysmon: network connections, loaded modules and hashes of processes are not recorded"),
        Check("security_absent", "records", lambda has: not has["security"],
              "no Security log: logons and uses of privileges cannot be seen"),
        Check("command_lines_absent", "starts",
              lambda has: has["starts"] > 0 and not has["start_commands"] and not has["sysmon_starts"],
              "process starts (4688) without command lines, as by default, and no Sysmon to tell them"),
        Check("process_starts_absent", "security",
              lambda has: has["security"] >= ENOUGH and not has["starts"] and not has["sysmon_starts"],
              "neither 4688 nor Sysmon 1: process starts are not recorded"),
        Check("script_blocks_absent", "records",
              lambda has: has["powershell"] + has["shells"] > 0 and not has["scripts"],
              "PowerShell was used, but no script blocks (4104) are recorded"),
        Check("success_absent", "failures", lambda has: has["failures"] > 0 and not has["logons"],
              "failed logons (4625) but not one success (4624): none succeeded, or successes are not recorded"),
    ),
    "web_access": (
        Check("status_absent", "records", lambda has: not has["statuses"],
              "no status codes: whether a request succeeded cannot be told"),
    ),
    "cloudtrail": (
        Check("data_events_absent", "records", lambda has: not has["data"],
              "no data events, as by default: reading objects or calling functions is not recorded"),
    ),
    "kubernetes_audit": (
        Check("bodies_absent", "records", lambda has: has["records"] >= ENOUGH and not has["bodies"],
              "no request bodies (level Metadata): what was created or run cannot be seen"),
        Check("reads_absent", "records", lambda has: has["records"] >= ENOUGH and not has["reads"],
              "no reads (get, list, watch): reading secrets is not recorded"),
    ),
    "linux_audit": (
        Check("commands_absent", "records", lambda has: has["records"] >= ENOUGH and not has["commands"],
              "no EXECVE records: commands are not audited"),
    ),
    "zeek_capture_loss": (
        Check("packets_lost", "lost", lambda has: has["lost"] > 0,
              f"the sensor lost more than {LOSS_PERCENT:.0f} percent of packets at times"),
    ),
}  # fmt: skip
"""By native table: what is concluded from its counts."""

COMPANIONS: tuple[tuple[str, str, str, str], ...] = (
    ("web_error", "web_access", "access_log_absent",
     "an error log but no access log: requests that succeeded are not recorded"),
)  # fmt: skip
"""A table that is there, one that usually stands beside it, and what follows if it does not."""


def counted(table: ibis.Table, name: str) -> ibis.Table:
    """Per host of a native table: ``named``, ``records``, and the counts of :data:`COUNTS`."""
    flagged = table.select(
        named=of_source(table, name)["named"],
        **{count: test(table).fill_null(False).cast("int64") for count, test in COUNTS[name].items()},
    )
    sums = {count: flagged[count].sum().cast("int64") for count in COUNTS[name]}
    return flagged.group_by("named").agg(records=flagged.count(), **sums)


def silent_about_success(authentication: ibis.Table) -> ibis.Table:
    """Sources other than Windows that tell of many failures and of no success: ``product, host, failures``."""
    table = authentication.filter((authentication.metadata_product_name != "windows").fill_null(False))
    rows = table.select(
        product=table.metadata_product_name,
        host=table.device_hostname.fill_null(""),
        failed=(table.status == "Failure").fill_null(False).cast("int64"),
        succeeded=(table.status == "Success").fill_null(False).cast("int64"),
    )
    summed = rows.group_by(["product", "host"]).agg(
        failures=rows.failed.sum().cast("int64"), successes=rows.succeeded.sum().cast("int64")
    )
    return summed.filter((summed.failures >= ENOUGH) & (summed.successes == 0)).drop("successes")


def levels(tables: Mapping[str, ibis.Table], authentication: ibis.Table | None, collect: Collect) -> tuple[Level, ...]:
    """Everything that is switched off, sorted by table, check and host."""
    found = []
    for name, checks in CHECKS.items():
        if name not in tables:
            continue
        for row in collect(counted(tables[name], name)).to_pylist():
            found += [
                Level(check.name, name, row["named"] or None, row[check.basis], check.says)
                for check in checks
                if check.when(row)
            ]
    for there, usual, check, says in COMPANIONS:
        if there in tables and usual not in tables:
            [row] = collect(tables[there].count().name("records").as_table()).to_pylist()
            found.append(Level(check, there, None, row["records"], says))
    if any(name.startswith("zeek_") for name in tables) and "zeek_conn" not in tables:
        says = "logs of Zeek but not conn: connections without a known protocol cannot be seen"
        found.append(Level("connections_absent", "zeek_conn", None, 0, says))
    if authentication is not None:
        for row in collect(silent_about_success(authentication)).to_pylist():
            says = "failed logons but not one success: none succeeded, or successes are not recorded"
            found.append(Level("success_absent", row["product"], row["host"] or None, row["failures"], says))
    return tuple(sorted(found, key=lambda one: (one.table, one.check, one.host or "")))
