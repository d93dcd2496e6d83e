"""Spraying with explicit credentials, guessing shared by many sources, and what looks like them and is neither."""

from __future__ import annotations

import json

import pytest
from test_behaviour import KERBEROS, OUTSIDE, SERVER, WINDOWS, connection, logon, request, rules, run  # noqa: F401

EXPLICIT = {**WINDOWS, "dst_endpoint_hostname": "dc1", "status_detail": "explicit credentials"}


def named(rows: list[dict], rule: str) -> list[dict]:
    return [row for row in rows if row["rule"] == rule]


# Explicit credentials


def test_explicit_credentials_of_many_accounts_are_spraying_of_unknown_outcome(connection):  # noqa: F811
    tries = [logon(i, "Unknown", "10.0.7.7", f"user{i % 30}", **EXPLICIT) for i in range(90)]
    [spray] = run(connection, logons=tries)
    assert (spray["rule"], spray["outcome"], spray["confidence"]) == ("password_spraying_explicit", "unknown", "medium")
    assert (spray["target"]["value"], json.loads(spray["why"])["counts"]["accounts"]) == ("dc1", 30)


def test_explicit_credentials_that_were_right_are_not_spraying(connection):  # noqa: F811
    rows = []
    for i in range(30):
        rows += [logon(i, "Unknown", "10.0.7.7", f"user{i}", **EXPLICIT), logon(i, "Success", "10.0.7.7", f"user{i}")]
    assert run(connection, logons=rows) == []


def test_few_accounts_used_explicitly_and_many_logged_on_by_a_service_are_not_spraying(connection):  # noqa: F811
    admin = [logon(i, "Unknown", "10.0.7.7", f"admin{i % 4}", **EXPLICIT) for i in range(60)]
    service = [logon(i, "Unknown", "10.0.7.8", f"user{i}", **{**EXPLICIT, "status_detail": None}) for i in range(60)]
    assert run(connection, logons=[*admin, *service]) == []


# Domain controllers


@pytest.mark.parametrize(
    ("source", "log"),
    [
        ("10.0.7.7", {**KERBEROS, "status_detail": "wrong password"}),
        (None, {**WINDOWS, "service_name": "ntlm", "status_detail": "wrong password", "src_endpoint_hostname": "KALI"}),
    ],
)
def test_a_domain_controller_sees_guessing_and_spraying_by_kerberos_and_by_ntlm(connection, source, log):  # noqa: F811
    guesses = [logon(i, "Failure", source, "carol", **log) for i in range(20)]
    assert rules(run(connection, logons=guesses)) == ["password_guessing"]
    sprayed = [logon(i * 60, "Failure", source, f"user{i}", **log) for i in range(12)]
    assert set(rules(run(connection, logons=sprayed))) == {"password_spraying"}


# Many sources


def herd(count: int, user: str = "carol", apart: float = 600.0, **changes) -> list[dict]:
    return [logon(i * apart, "Failure", f"198.{i + 20}.7.9", user, **changes) for i in range(count)]


def test_an_account_in_use_that_fails_from_many_networks_is_guessed_by_all_of_them(connection):  # noqa: F811
    rows = run(connection, logons=[logon(-60, "Success", "10.0.7.7", "carol"), *herd(40)])
    [shared] = named(rows, "distributed_guessing_known")
    assert (shared["severity"], shared["confidence"], shared["outcome"]) == ("medium", "medium", "failed")
    counts = json.loads(shared["why"])["counts"]
    assert (counts["networks"], counts["account"], len(shared["records"])) == (40, "carol", 40)
    assert shared["source"]["value"] == "many addresses"


def test_a_common_name_that_fails_from_many_networks_is_told_low(connection):  # noqa: F811
    [shared] = named(run(connection, logons=herd(40, "root")), "distributed_guessing")
    assert (shared["severity"], shared["confidence"]) == ("low", "low")


def test_sources_that_guess_on_their_own_are_not_counted_again(connection):  # noqa: F811
    tries = [{**row, "unmapped_attempts": 9} for row in herd(40)]
    assert set(rules(run(connection, logons=tries))) == {"password_guessing_outside"}


def attacks(rows: list[dict]) -> list[str]:
    """Rules of findings at medium or above, or that speak of many networks."""
    return [row["rule"] for row in rows if row["severity"] not in ("informational", "low") or "distrib" in row["rule"]]


def test_an_office_whose_address_changes_is_not_guessing(connection):  # noqa: F811
    people = [f"user{i}" for i in range(40)]
    before = [logon(i, "Success", "203.0.113.1", user) for i, user in enumerate(people)]
    after = []
    for i, user in enumerate(people):
        after.append(logon(9_000 + i * 90, "Failure", "203.0.113.99", user))
        after.append(logon(9_020 + i * 90, "Success", "203.0.113.99", user))
    assert attacks(run(connection, logons=[*before, *after])) == []


def test_an_expired_password_of_a_service_on_many_hosts_is_not_an_attack(connection):  # noqa: F811
    hosts = [f"10.0.7.{i}" for i in range(40)]
    before = [logon(i, "Success", host, "svc-backup") for i, host in enumerate(hosts)]
    expired = [
        logon(9_000 + i + t * 900, "Failure", host, "svc-backup") for i, host in enumerate(hosts) for t in (0, 1, 2)
    ]
    assert attacks(run(connection, logons=[*before, *expired])) == []
    [told] = named(run(connection, logons=expired), "failing_from_many_hosts")
    assert (told["severity"], told["confidence"]) == ("low", "low")


def test_a_telephone_that_roams_with_an_old_password_is_not_a_herd(connection):  # noqa: F811
    right = [logon(-60, "Success", "10.0.7.7", "carol")]
    roaming = [logon(i * 1_800, "Failure", f"198.51.{i}.7", "carol") for i in range(60)]
    privacy = [logon(i * 1_800, "Failure", f"2001:db8:1:2::{i:x}", "carol") for i in range(60)]
    assert attacks(run(connection, logons=[*right, *roaming, *privacy])) == []


def test_people_who_mistype_from_many_networks_and_get_in_are_not_guessing(connection):  # noqa: F811
    tries = []
    for i in range(40):
        tries += [
            logon(i * 900, "Failure", f"198.{i + 20}.7.9", "shared"),
            logon(i * 900 + 9, "Success", f"198.{i + 20}.7.9", "shared"),
        ]
    assert attacks(run(connection, logons=tries)) == []


# What came of it


def test_success_after_guessing_of_a_web_login_with_basic_authentication(connection):  # noqa: F811
    tries = [request(i, "/admin", 401, actor_user_name="alice") for i in range(20)]
    [won] = named(
        run(connection, requests=[*tries, request(30, "/admin", 200, actor_user_name="alice")]),
        "success_after_guessing",
    )
    assert (won["outcome"], won["target"]["service"]) == ("succeeded", "80/tcp")


def test_success_after_guessing_of_a_web_form(connection):  # noqa: F811
    post = {"http_request_http_method": "POST"}
    tries = [request(i, "/login", 401, **post) for i in range(20)]
    rows = run(connection, requests=[*tries, request(30, "/login", 302, **post)])
    [won] = named(rows, "success_after_guessing")
    assert (won["confidence"], won["records"]) == ("low", [("e" * 64, 20)])


CONSOLE = {
    "dst_endpoint_ip": None,
    "dst_endpoint_port": None,
    "dst_endpoint_hostname": "123456789012",
    "service_name": "aws_console",
    "metadata_product_name": "aws",
}


def test_success_after_guessing_of_a_cloud_console(connection):  # noqa: F811
    tries = [logon(i * 5, "Failure", user="alice", **CONSOLE) for i in range(20)]
    rows = run(connection, logons=[*tries, logon(120, "Success", user="alice", **CONSOLE)])
    assert rules(rows) == ["password_guessing_outside", "success_after_guessing"]
