"""Expressions over text columns of native tables that several views need.

Only operations that give equal rows on DuckDB and Spark; regular expressions stay inside what RE2
and Java read alike, and use no ``$`` (Java's matches before a last line feed as well).
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis
import ibis.expr.types as ir

from casemate.views.base import integer, known, number

ISO = r"^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
HTTP_ACTIVITIES = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH")


def address(text: ir.StringColumn) -> ir.StringColumn:
    """An address in lower case, null where unknown."""
    return known(text.lower())


def milliseconds(seconds: ir.StringColumn) -> ir.IntegerColumn:
    """Decimal seconds as whole milliseconds, cut off."""
    return (number(seconds) * 1000.0).floor().cast("int64")


def json_array(elements: ir.StringColumn) -> ir.StringColumn:
    """Elements one under the other (as native tables hold arrays) as a JSON array of texts."""
    escaped = elements
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("\t", "\\t"), ("\r", "\\r"), ("\n", '","')):
        escaped = escaped.replace(plain, written)
    array = ibis.literal('["') + escaped + ibis.literal('"]')
    return ibis.ifelse(known(elements).notnull(), array, ibis.null("string"))


def first(elements: ir.StringColumn) -> ir.StringColumn:
    """The first of several elements that stand one under the other."""
    return known(elements.re_replace(r"\n[\s\S]*", ""))


def url_path(target: ir.StringColumn) -> ir.StringColumn:
    """The path of a request target: no query, no fragment, no scheme and host."""
    return known(target.re_replace(r"[?#][\s\S]*", "").re_replace(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", ""))


def http_activity_name(method: ir.StringColumn) -> ir.StringColumn:
    """OCSF's name of an HTTP method."""
    named = method.upper().cases(*((name, name.capitalize()) for name in HTTP_ACTIVITIES), else_="Other")
    return ibis.ifelse(method.isnull(), ibis.literal("Unknown"), named)


def http_status(code: ir.IntegerColumn) -> ir.StringColumn:
    """Success below 400, Failure from 400 on, Unknown without an answer."""
    return ibis.cases((code.isnull(), "Unknown"), (code >= 400, "Failure"), (code >= 100, "Success"), else_="Unknown")


def seconds_in_milliseconds(text: ir.StringColumn) -> ir.IntegerColumn:
    """Decimal seconds since 1970, before 1970 too, as milliseconds; fractions of a second are left out."""
    whole = text.re_replace(r"\.[0-9]*\z", "")
    bounded = ibis.ifelse(whole.re_search(r"^-?[0-9]{1,12}\z"), whole, ibis.null("string"))
    return integer(bounded) * 1000


def iso_milliseconds(text: ir.StringColumn) -> ir.IntegerColumn:
    """``2024-02-29T23:59:59`` in UTC as milliseconds since 1970; null where it is not written so.

    By integers alone (days after Hinnant's *days from civil*), which both engines count alike.
    """
    part = {
        name: integer(text.re_extract(ISO, number))
        for number, name in enumerate(("year", "month", "day", "hour", "minute", "second"), start=1)
    }
    shifted = ibis.ifelse(part["month"] > 2, part["month"] - 3, part["month"] + 9)
    year = part["year"] - ibis.ifelse(part["month"] > 2, 0, 1)
    era = (year // 400).cast("int64")
    in_era = year - era * 400
    in_year = ((shifted * 153 + 2) // 5).cast("int64") + part["day"] - 1
    leaps = (in_era // 4).cast("int64") - (in_era // 100).cast("int64")
    days = era * 146_097 + in_era * 365 + leaps + in_year - 719_468
    seconds = days * 86_400 + part["hour"] * 3_600 + part["minute"] * 60 + part["second"]
    return (seconds * 1000).cast("int64")


def fingerprints(text: ir.StringColumn) -> ir.StringColumn:
    """A hash in hexadecimal, with or without colons, as ``SHA-256=...`` or ``SHA-1=...`` by its length."""
    plain = text.replace(":", "").lower()
    return ibis.cases(
        (plain.re_search(r"^[0-9a-f]{64}\z"), ibis.literal("SHA-256=") + plain),
        (plain.re_search(r"^[0-9a-f]{40}\z"), ibis.literal("SHA-1=") + plain),
    )


def truth(text: ir.StringColumn) -> ir.StringColumn:
    """``true`` as Success, ``false`` as Failure, anything else as Unknown."""
    return text.cases(("true", "Success"), ("false", "Failure"), else_="Unknown")


def hashes(**columns: ir.StringColumn) -> ir.StringColumn:
    """``MD5=...,SHA1=...`` of the hashes that are known, in the order given; null where none is."""
    parts = [
        ibis.ifelse(known(column).notnull(), ibis.literal(f",{name}=") + known(column), ibis.literal(""))
        for name, column in columns.items()
    ]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + part
    return known(joined.re_replace("^,", ""))
