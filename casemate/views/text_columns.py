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

from casemate.views.base import known, number

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
