"""What Sigma's values, modifiers and conditions mean, one by one."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sigma_helpers import compiled, load, matched

from casemate.detect.sigma.compile import compile_rules


def holds(selection: Any, value: str | None, *, field: str = "CommandLine", **others: str) -> bool:
    """Whether a detection of one selection matches a record with one field."""
    record = {field: value, "Image": None, **others}
    return matched({"sel": selection, "condition": "sel"}, [record]) == [0]


@pytest.mark.parametrize(
    ("selection", "value", "expected"),
    [
        ({"CommandLine": "ABC"}, "abc", True),
        ({"commandline": "abc"}, "ABC", True),
        ({"CommandLine": "ab*"}, "ABcd", True),
        ({"CommandLine": "a?c"}, "aéc", True),
        ({"CommandLine": "a?c"}, "ac", False),
        ({"CommandLine": "a*c"}, "a\nb\nc", True),
        ({"CommandLine": r"a\*c"}, "a*c", True),
        ({"CommandLine": r"a\*c"}, "abc", False),
        ({"CommandLine": r"a\\*c"}, r"a\xxc", True),
        ({"CommandLine": r"a\\*c"}, "a*c", False),
        ({"CommandLine": r"a\\\*c"}, r"a\*c", True),
        ({"CommandLine": r"C:\Windows"}, r"c:\windows", True),
        ({"CommandLine": r"\\server"}, r"\server", True),
        ({"CommandLine": ""}, "", True),
        ({"CommandLine": ""}, None, False),
        ({"CommandLine": None}, None, True),
        ({"CommandLine": None}, "", False),
        ({"CommandLine": "*"}, "", True),
        ({"CommandLine": "*"}, None, False),
        ({"CommandLine": 5}, "5", True),
        ({"CommandLine": 5}, "5.0", True),
        ({"CommandLine": 5}, "15", False),
        ({"CommandLine": "5"}, "5", True),
        ({"CommandLine": True}, "True", True),
        ({"CommandLine|contains": "b"}, "ABC", True),
        ({"CommandLine|contains|all": ["a", "c"]}, "abc", True),
        ({"CommandLine|contains|all": ["a", "x"]}, "abc", False),
        ({"CommandLine|startswith": "ab"}, "ABC", True),
        ({"CommandLine|endswith": ["x", "bc"]}, "ABC", True),
        ({"CommandLine|contains|cased": "b"}, "aBc", False),
        ({"CommandLine|cased": "aBc"}, "aBc", True),
        ({"CommandLine|re": "B.D"}, "ABCDE", True),
        ({"CommandLine|re": "b.d"}, "ABCDE", False),
        ({"CommandLine|re|i": "b.d"}, "ABCDE", True),
        ({"CommandLine|re": "^b"}, "a\nb", False),
        ({"CommandLine|re|m": "^b"}, "a\nb", True),
        ({"CommandLine|re": "a.b"}, "a\nb", False),
        ({"CommandLine|re|s": "a.b"}, "a\nb", True),
        ({"CommandLine|re": "^.{3}$"}, "aéb", True),
        ({"CommandLine|re": r"a\Z"}, "a\n", False),
        ({"CommandLine|cidr": "10.0.0.0/8"}, "10.20.30.40", True),
        ({"CommandLine|cidr": "10.0.0.0/8"}, "11.0.0.1", False),
        ({"CommandLine|cidr": "fe80::/10"}, "fe80::1%4", True),
        ({"CommandLine|cidr": "10.0.0.0/8"}, "10.20.30.040", False),
        ({"CommandLine|windash|contains": " -enc"}, "x /enc y", True),
        ({"CommandLine|contains|windash": " -enc"}, "x –enc y", True),
        ({"CommandLine|exists": True}, "", True),
        ({"CommandLine|exists": False}, None, True),
        ({"CommandLine|gt": 5}, "6", True),
        ({"CommandLine|gt": 5}, "x", False),
        ({"CommandLine|lte": 5}, "5", True),
        ({"CommandLine|gte": 5}, "4.9", False),
        ({"CommandLine|lt": 5}, "-1", True),
        ({"CommandLine|neq": "a"}, "A", False),
        ({"CommandLine|neq": "a"}, None, True),
        ({"CommandLine|neq": "a"}, "b", True),
        ({"CommandLine|hour": 7}, "2024-03-05 07:59:00.123", True),
        ({"CommandLine|hour": 5}, "2024-03-05T07:59:00+02:00", True),
        ({"CommandLine|year": 2024}, "1709622489", True),
        ({"CommandLine|week": 10}, "2024-03-05", False),
        ({"CommandLine|week": 10}, "2024-03-05T00:00:00Z", True),
        ({"CommandLine|minute": 59}, "2024-03-05 07:59:00", True),
        ({"CommandLine|day": 5}, "2024-03-05 07:59:00", True),
        ({"CommandLine|month": 3}, "2024-03-05 07:59:00", True),
        ([{"CommandLine": "x"}, {"CommandLine": "a"}], "a", True),
        (["needle", "other"], "hay NEEDLE hay", True),
        ({"|all": ["hay", "needle"]}, "hay needle", True),
        ({"|all": ["hay", "missing"]}, "hay needle", False),
    ],
)
def test_values_and_modifiers(selection: Any, value: str | None, expected: bool) -> None:
    assert holds(selection, value) is expected


@pytest.mark.parametrize(
    ("modifier", "encoded"),
    [
        ("base64", "häß*".encode()),
        ("wide|base64", "häß*".encode("utf-16-le")),
        ("utf16le|base64", "häß*".encode("utf-16-le")),
        ("utf16be|base64", "häß*".encode("utf-16-be")),
        ("utf16|base64", b"\xff\xfe" + "häß*".encode("utf-16-le")),
    ],
)
def test_encodings_are_those_of_the_bytes(modifier: str, encoded: bytes) -> None:
    assert holds({f"CommandLine|{modifier}|contains": "häß\\*"}, "x " + base64.b64encode(encoded).decode() + " y")


@pytest.mark.parametrize("before", [b"", b"1", b"12", b"123", "é".encode()])
@pytest.mark.parametrize("text", ["a", "ab", "wördäß"])
def test_base64offset_finds_the_text_at_any_offset(before: bytes, text: str) -> None:
    value = base64.b64encode(before + text.encode() + b"after").decode()
    assert holds({"CommandLine|base64offset|contains": text}, value)


def test_field_references() -> None:
    record = {"CommandLine": r"C:\A\b.exe -x", "Image": r"c:\a\B.exe", "User": "b.exe"}
    for selection, expected in (
        ({"CommandLine|fieldref": "Image"}, []),
        ({"CommandLine|fieldref|startswith": "Image"}, [0]),
        ({"Image|fieldref|endswith": "User"}, [0]),
        ({"CommandLine|fieldref|contains": "User"}, [0]),
        ({"CommandLine|fieldref": "Missing"}, []),
    ):
        assert matched({"sel": selection, "condition": "sel"}, [record]) == expected, selection


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a1 and a2", []),
        ("a1 or a2", [0, 1]),
        ("1 of a*", [0, 1]),
        ("all of a*", []),
        ("1 of them", [0, 1]),
        ("not a1", [1, 2]),
        ("not 1 of a*", [2]),
        ("(a1 or a2) and not a2", [0]),
        (["a1", "a2"], [0, 1]),
    ],
)
def test_conditions(condition: Any, expected: list[int]) -> None:
    records = [{"Image": "x"}, {"Image": "y"}, {"Image": "z"}]
    document = {"a1": {"Image": "x"}, "a2": {"Image": "y"}, "_hidden": {"Image": "z"}, "condition": condition}
    assert matched(document, records) == expected


def test_fields_that_have_no_column_are_found_in_rest_ignoring_case() -> None:
    records = [{"rest": {"Odd.Field": "Yes"}}, {"rest": {"other": "yes"}}, {}]
    assert matched({"sel": {"odd.field": "yes"}, "condition": "sel"}, records) == [0]
    assert matched({"sel": {"odd.field": None}, "condition": "sel"}, records) == [1, 2]
    assert matched({"sel": ["yes"], "condition": "sel"}, records) == [0, 1]


def test_an_array_is_asked_element_by_element() -> None:
    document = {
        "logsource": {"product": "zeek", "service": "dns"},
        "detection": {"sel": {"answers": "10.0.0.1"}, "condition": "sel"},
    }
    assert matched(document, [{"answers": '["10.0.0.1","b"]'}, {"answers": "[10.0.0.1"}], table="zeek_dns") == [0]


def test_placeholders_need_values() -> None:
    document = {"sel": {"CommandLine|expand": "%tools%.exe"}, "condition": "sel"}
    refused = compile_rules(load(document)).refused
    assert [one.reason.split(":")[0] for one in refused] == ["no values are given for the placeholder %tools%"]
    assert matched(
        document, [{"CommandLine": "b.EXE"}, {"CommandLine": "%tools%.exe"}], placeholders={"tools": ("a", "b")}
    ) == [0]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("CommandLine|expand", "%v%", [0, 1]),  # a value may hold wildcards, as pySigma's value_placeholders
        ("CommandLine|expand|cased", "%v%", [0]),
        ("CommandLine|re|expand", "^%r%$", [0]),
        ("CommandLine|re|i|expand", "^%r%$", [0, 1]),
        ("CommandLine|contains|expand", "%w%", [2]),
        ("CommandLine|windash|expand", "-x %v%", [3]),
        ("CommandLine|expand", "\\%v\\%", [4]),
    ],
)
def test_values_of_placeholders_are_read_as_in_a_rule(field: str, text: str, expected: list[int]) -> None:
    lines = ("abcX", "ABCX", "a*c", "/x abcX", "%v%")
    values = {"v": ("abc*",), "r": ("ab[c].*", "z"), "w": ("a\\*c",)}
    records = [{"CommandLine": line} for line in lines]
    assert matched({"sel": {field: text}, "condition": "sel"}, records, placeholders=values) == expected


def test_placeholders_cannot_multiply_without_bound() -> None:
    document = {"sel": {"CommandLine|expand": "%a%" * 20}, "condition": "sel"}
    (refused,) = compile_rules(load(document), placeholders={"a": tuple(map(str, range(1000)))}).refused
    assert refused.reason == "more than 100000 values once its placeholders are filled in"


def test_a_condition_that_names_nothing_is_refused() -> None:
    for condition in ("missing", "1 of nothing*", "sel and"):
        rules = compile_rules(load({"sel": {"Image": "x"}, "condition": condition}))
        assert not rules.rules
        assert rules.refused[0].reason


SYSMON = {"Provider_Name": "Microsoft-Windows-Sysmon", "Channel": "Microsoft-Windows-Sysmon/Operational"}
AUDIT = {"Provider_Name": "Microsoft-Windows-Security-Auditing", "Channel": "Security"}


def test_the_event_number_alone_is_not_the_log_source() -> None:
    document = {
        "logsource": {"product": "windows", "category": "process_creation"},
        "detection": {"sel": {"Image|endswith": "\\x.exe"}, "condition": "sel"},
    }
    records = [
        {**SYSMON, "EventID": "1", "Image": "C:\\x.exe"},
        {**SYSMON, "EventID": "11", "Image": "C:\\x.exe"},
        {"Provider_Name": "Other", "Channel": "Application", "EventID": "1", "Image": "C:\\x.exe"},
        {"EventID": "1", "Image": "C:\\x.exe"},
        {"Provider_Name": "Microsoft-Windows-Sysmon", "EventID": "1", "Image": "C:\\x.exe"},
        {**AUDIT, "EventID": "4688", "NewProcessName": "C:\\X.EXE"},
    ]
    assert matched(document, records) == [0, 4, 5]


def test_registry_audit_reads_like_sysmon() -> None:
    document = {
        "logsource": {"product": "windows", "category": "registry_set"},
        "detection": {
            "sel": {"TargetObject": "HKLM\\SOFTWARE\\Run\\Evil", "Details": "DWORD (0x00000001)"},
            "condition": "sel",
        },
    }
    record = {
        **AUDIT,
        "EventID": "4657",
        "OperationType": "%%1904",
        "ObjectName": "\\REGISTRY\\MACHINE\\SOFTWARE\\Run",
        "ObjectValueName": "Evil",
        "NewValueType": "%%1876",
        "NewValue": "1",
    }
    assert matched(document, [record, {**record, "OperationType": "%%1906"}]) == [0]


def test_a_log_source_without_a_reader_is_listed() -> None:
    rules = compile_rules(
        load(
            {"logsource": {"product": "okta", "service": "okta"}, "detection": {"sel": {"a": "b"}, "condition": "sel"}}
        )
    )
    assert [one.reason for one in rules.unread] == ["no reader for this log source yet: okta/*/okta"]


def test_compiling_twice_gives_the_same() -> None:
    document = {"sel": {"Image|contains": ["x", "y"], "User|re": "z+"}, "kw": ["word"], "condition": "sel or kw"}
    assert compiled(document) == compiled(document)
