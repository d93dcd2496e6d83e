"""Expressions that all views of ``windows_event`` share.

Only comparisons, ``cases``, ``substr``, ``find`` and regular expressions: they give the same rows on both engines.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis
import ibis.expr.types as ir

from casemate.views.base import known

SECURITY = "Microsoft-Windows-Security-Auditing"
SYSMON = "Microsoft-Windows-Sysmon"
SYSMON_CHANNEL = "Microsoft-Windows-Sysmon/Operational"

AUDIT_FAILURE = ("0x8010000000000000", "-9218868437227405312", "9227875636482146304", "Audit Failure", "AUDIT_FAILURE")
"""Keywords of a failed audit, as XML, NXLog (signed), unsigned decimal and Winlogbeat write them."""

ORIGIN = ("evidence", "record", "time", "Channel", "Provider_Name", "EventID", "Computer")
"""What every view of ``windows_event`` reads."""

_HEX_DIGITS = 7  # process ids are smaller, and Spark finds a digit as a 32-bit number that must not overflow


def from_security(table: ibis.Table, *events: str) -> ibis.Table:
    """Events of the Security log with these numbers."""
    source = (table.Channel == "Security") | (table.Provider_Name == SECURITY)
    return table.filter(source & table.EventID.isin(list(events)))


def from_sysmon(table: ibis.Table, *events: str) -> ibis.Table:
    """Events of Sysmon with these numbers."""
    source = (table.Channel == SYSMON_CHANNEL) | (table.Provider_Name == SYSMON)
    return table.filter(source & table.EventID.isin(list(events)))


def any_integer(text: ir.StringValue) -> ir.IntegerValue:
    """``0x1f4`` (at most 28 bits) or decimal text as int64, null for anything else."""
    lowered = text.lower()
    is_hex = lowered.re_search(r"^0x[0-9a-f]{1,7}$")
    padded = ibis.literal("0" * _HEX_DIGITS) + lowered.replace("0x", "")
    value: ir.Value = ibis.literal(0, "int64")
    for place in range(_HEX_DIGITS):
        digit = padded.substr(padded.length() - _HEX_DIGITS + place, 1)
        number = ibis.literal("0123456789abcdef").find(digit)
        value = value + number * (16 ** (_HEX_DIGITS - 1 - place))
    is_decimal = lowered.re_search(r"^[0-9]{1,18}$")
    decimal = ibis.ifelse(is_decimal, lowered, ibis.null("string")).cast("int64")
    return ibis.ifelse(is_hex, value, decimal)


def address(text: ir.StringValue) -> ir.StringValue:
    """An address in canonical form: lower-case, IPv4 without ``::ffff:``; null where there is none."""
    lowered = text.lower()
    plain = ibis.ifelse(lowered.startswith("::ffff:"), lowered.replace("::ffff:", ""), lowered)
    return ibis.ifelse(plain.re_search(r"^[0-9a-f:.]+(%[0-9a-z]+)?$"), plain, ibis.null("string"))


def base_name(path: ir.StringValue) -> ir.StringValue:
    """The last part of a Windows path."""
    return known(path.re_replace(r"^.*[\\/]", ""))


def account(user: ir.StringValue) -> ir.StringValue:
    r"""The name in ``DOMAIN\name``."""
    return known(user.re_replace(r"^.*\\", ""))


def account_domain(user: ir.StringValue) -> ir.StringValue:
    r"""The domain in ``DOMAIN\name``, null without one."""
    has_domain = user.re_search(r"^[^\\]+\\")
    return ibis.ifelse(has_domain, user.re_replace(r"\\.*$", ""), ibis.null("string"))


def origin(table: ibis.Table, product: str) -> dict[str, ir.Value]:
    """The columns that say where a record comes from."""
    return {
        "evidence": table.evidence,
        "record": table.record,
        "time": table.time,
        "metadata_product_name": ibis.literal(product),
        "metadata_log_name": table.Channel,
        "device_hostname": known(table.Computer),
    }
