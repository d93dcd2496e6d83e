"""Guessing spread over sources and accounts, and mornings that look like it."""

from __future__ import annotations

import json

import pytest
from test_behaviour import connection, logon, run  # noqa: F401
from test_many_accounts import attacks, named

PEOPLE = [f"user{number}" for number in range(40)]
MONDAY = 3 * 86_400 + 8 * 3_600


def at_work(*, since: float = -86_400) -> list[dict]:
    """Everybody logs on from inside, so that the accounts are in use."""
    return [logon(since + number, "Success", f"10.0.1.{number}", user) for number, user in enumerate(PEOPLE)]


def sprayed(count: int = 40, apart: float = 120.0) -> list[dict]:
    return [logon(number * apart, "Failure", f"198.{20 + number}.7.9", PEOPLE[number]) for number in range(count)]


def test_accounts_in_use_that_each_fail_from_another_network_are_sprayed_by_all_of_them(connection):  # noqa: F811
    rows = run(connection, logons=[*at_work(), *sprayed()])
    [told] = named(rows, "distributed_spraying_known")
    assert (told["severity"], told["confidence"], told["outcome"]) == ("medium", "medium", "failed")
    counts = json.loads(told["why"])["counts"]
    assert (counts["networks"], counts["accounts"], counts["accounts_in_use"], len(told["records"])) == (40, 40, 40, 40)
    assert (told["source"]["value"], told["target"]["service"]) == ("many addresses", "22/tcp")


def test_names_nobody_is_seen_to_use_are_told_low(connection):  # noqa: F811
    [told] = named(run(connection, logons=sprayed()), "distributed_spraying")
    assert (told["severity"], told["confidence"]) == ("low", "low")


def test_nine_networks_or_nine_accounts_are_too_few(connection):  # noqa: F811
    few_accounts = [logon(i * 60, "Failure", f"198.{20 + i}.7.9", PEOPLE[i % 9]) for i in range(40)]
    assert attacks(run(connection, logons=[*at_work(), *sprayed(9)])) == []
    assert attacks(run(connection, logons=[*at_work(), *few_accounts])) == []


def test_a_monday_on_which_people_mistype_from_home_is_not_spraying(connection):  # noqa: F811
    """Nine of ten get in with the next try; four give up and ask for a new password."""
    morning = []
    for number, user in enumerate(PEOPLE):
        home = f"198.{20 + number}.7.{number}"
        morning.append(logon(MONDAY + number * 30, "Failure", home, user))
        if number % 10:
            morning.append(logon(MONDAY + number * 30 + 9, "Success", home, user))
    assert attacks(run(connection, logons=[*at_work(), *morning])) == []


def test_an_office_behind_one_address_is_one_network_however_many_mistype(connection):  # noqa: F811
    office = []
    for number, user in enumerate(PEOPLE):
        office.append(logon(MONDAY + number * 40, "Failure", f"203.0.113.{1 + number % 3}", user))
        office.append(logon(MONDAY + number * 40 + 9, "Success", f"203.0.113.{1 + number % 3}", user))
    rows = run(connection, logons=[*at_work(), *office])
    assert attacks(rows) == []
    assert named(rows, "guessing_from_network") == []


@pytest.mark.parametrize(
    ("form", "network"),
    [("2001:db8:1:2:{0:x}:0:0:1", "2001:db8:1:2::/64"), ("198.51.100.{0}", "198.51.100.0/24")],
)
def test_neighbours_that_each_fail_once_guess_together(connection, form, network):  # noqa: F811
    tries = [logon(i * 60, "Failure", form.format(i + 1), PEOPLE[i % 20]) for i in range(60)]
    [told] = named(run(connection, logons=[*at_work(), *tries]), "guessing_from_network")
    assert told["source"] == {"kind": "network", "value": network}
    counts = json.loads(told["why"])["counts"]
    assert (counts["sources"], counts["failures"], counts["accounts"]) == (60, 60, 20)


def test_a_telephone_with_an_old_password_is_not_a_guessing_network(connection):  # noqa: F811
    roaming = [logon(i * 1_800, "Failure", f"2001:db8:1:2:{i + 1:x}:0:0:1", PEOPLE[3]) for i in range(60)]
    assert named(run(connection, logons=[*at_work(), *roaming]), "guessing_from_network") == []


def test_a_source_that_guesses_on_its_own_is_told_once(connection):  # noqa: F811
    tries = [logon(i * 60 + t, "Failure", f"198.51.100.{i}", PEOPLE[t]) for i in range(1, 20) for t in range(6)]
    assert named(run(connection, logons=tries), "guessing_from_network") == []
