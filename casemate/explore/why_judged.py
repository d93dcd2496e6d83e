"""What a behaviour or correlation was judged by, and what would have changed the answer.

Everything is computed from the value and the threshold that stand in the finding's own reason; where those do not
decide alone, the sentence says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SLOW = "_slow"
MEASURES: dict[str, tuple[tuple[str, str, str], ...]] = {
    # rule: (count, threshold, what one of them is called), the first whose value reaches its threshold decides
    "password_guessing": (("failures", "failures_inside", "failed tries"),),
    "password_guessing_outside": (("failures", "failures", "failed tries"), ("tries", "undecided", "tries")),
    "password_spraying": (("accounts", "accounts", "failing accounts"),),
    "password_spraying_outside": (("accounts", "accounts", "failing accounts"),),
    "account_enumeration": (("accounts", "accounts", "failing accounts"), ("failures", "failures_inside", "failures")),
    "password_spraying_explicit": (("accounts", "accounts", "accounts"),),
    "distributed_guessing": (("networks", "networks", "networks"),),
    "distributed_guessing_known": (("networks", "networks", "networks"),),
    "failing_from_many_hosts": (("networks", "networks", "hosts"),),
    "ping_sweep_inside": (("hosts", "hosts_inside", "own hosts"),),
    "repeated_failure": (("failures", "failures_inside", "failures"),),
    "horizontal_scan": (("hosts", "hosts", "own hosts"),),
    "horizontal_scan_inside": (("hosts", "hosts_inside", "own hosts"),),
    "vertical_scan": (("services", "services", "services"),),
    "vertical_scan_inside": (("services", "services", "services"),),
    "web_content_search": (("paths", "paths", "paths"),),
}
MARGINS: dict[str, str] = {
    "horizontal_scan": "counted are hosts that failed less those that answered",
    "horizontal_scan_inside": "counted are hosts that failed less those that answered",
    "ping_sweep_inside": "counted are hosts that failed less those that answered",
    "vertical_scan": "counted are services that failed less those that answered",
    "vertical_scan_inside": "counted are services that failed less those that answered",
    "web_content_search": "counted are paths that only ever gave errors, and they must be more than half",
    "password_spraying": "counted are accounts that never got in from there, and they must be more than half",
    "password_spraying_outside": "counted are accounts that never got in from there, and they must be more than half",
}
"""What is counted where it is not simply the number in the finding."""
SLOW_THRESHOLDS: dict[str, str] = {
    "failures": "failures_slow",
    "failures_inside": "failures_inside_slow",
    "hosts_inside": "hosts_inside_slow",
}
"""Thresholds of the slow forms, counted over all of the evidence."""
ONE_IS_ENOUGH: dict[str, str] = {
    "unasked_probe": "one unasked connection that came to nothing is enough; had it been answered, or come from "
    "inside, it would not be named",
    "failed_logon_outside": "one failed logon from outside is enough; had the source ever got in, it would not be "
    "named",
    "login_service_visit": "one visit from outside is enough; had the source ever got in, it would not be named",
    "web_probe": "one unasked request is enough; had it asked for the server by its name and been understood, it "
    "would not be named",
    "success_after_guessing": "without the guessing before it by the same source on the same service, the logon would "
    "not be named",
    "success_after_guessing_others": "without the guessing before it by the same source on the same service, the "
    "logon would not be named",
}
SEVERAL_DECIDE: dict[str, str] = dict.fromkeys(
    ("beacon", "beacon_failed", "beacon_inside", "regular_contact"),
    "how regular gaps and sizes are decides together with how rare and how old the peer is (`decided` says what did); "
    "fewer contacts than `contacts` would not be looked at",
) | {
    "guessing_from_network": "there must be `neighbours` addresses of one network (of IPv6 `neighbours_ipv6`) that "
    "never got in, with `failures_together` failures in one episode",
    "distributed_spraying": "sources of `networks` networks that never got in must fail with `accounts` accounts",
    "distributed_spraying_known": "sources of `networks` networks that never got in must fail with `accounts` "
    "accounts, `accounts_in_use` of which got in from elsewhere",
    "relay": "a session from outside of `session_milliseconds` and `session_bytes` each way, and `peers` new peers "
    "while it lasts, which carry as much within a factor of `factor`; a host with more than `visitors` such sources is "
    "a gateway",
    "sent_after_asset_read": "`read_bytes` must be read from the core asset, and `left_bytes`, `share` and `times` "
    "decide on what leaves afterwards",
    "slow_scan": "fewer different services or hosts than `tried` would not be named, nor would a source most of whose "
    "connections were answered",
    "network_scan": "fewer different services or hosts than `tried`, or fewer addresses of the network than "
    "`neighbours`, would not be named",
    "long_connection": "a shorter connection than `hours`, or a peer that more own hosts than `common_hosts` talk to, "
    "would not be named",
    "strobe": "fewer connections than `strobe_contacts` would not be named",
    "dns_tunnel": "fewer names below the zone than `names`, or shorter ones than `letters` (with data in the answers "
    "`letters_with_data`), would not be named",
    "failing_names": "fewer zones than `failing_zones` that do not exist would not be named",
    "upload_unusual": "less than `day_bytes` in a day, or than `times` the most of any day before, would not be named",
    "upload_large": "less than `day_bytes` in a day would not be named; with days before it the history would decide",
    "slow_leak": "fewer days than `leak_days`, or less than `leak_bytes` in all, would not be named",
    "upload_to_storage": "less than `looked_at_bytes`, or another kind of name, would not be named",
    "first_admin_contact": "a contact of the two hosts before, or less evidence before it than `baseline_seconds`, "
    "would change the answer",
    "lateral_fan_out": "fewer hosts than `many` would not be named so",
    "admin_fan_out": "fewer hosts than `many_cold` would not be named; with evidence from before, only first contacts "
    "would count",
    "new_service": "less evidence before it than `service_baseline_seconds` would not be enough to say so",
    "coordinated_sources": "fewer sources than `sources`, or fewer steps in the same order than `steps`, would not be "
    "named",
    "shared_fingerprint": "fewer sources than `sources` or networks than `networks`, a client that more than one in "
    "`one_in` sources (one in `one_in_few` where fewer than `population` say anything) or an own host has, sources "
    "that are mostly answered, or other targets each would not be named; another actor with the same tool looks alike",
    "coordinated_requests": "fewer sources than `sources`, or fewer paths in the same order than `steps`, would not be "
    "named",
}
"""Where no single number decides: what would have changed the answer, by the names of the thresholds."""


@dataclass(frozen=True)
class Judged:
    """The number that decided: what was counted, its value, the threshold it reached and that one's name.

    `exact` is false where the threshold is held against something narrower than `value` (see :data:`MARGINS`).
    """

    count: str
    what: str
    value: float
    threshold: float
    threshold_name: str
    exact: bool = True


def judged(tree: Any) -> Judged | None:
    """What decided, as the reason of a behaviour finding has it; None if no threshold of it did."""
    if not isinstance(tree, Mapping):
        return None
    counts, thresholds = _numbers(tree.get("counts")), _numbers(tree.get("thresholds"))
    rule = tree.get("rule")
    slow = bool(counts.get("slow"))
    known = MEASURES.get(rule) if isinstance(rule, str) else None
    candidates = known if known is not None else tuple((name, name, name.replace("_", " ")) for name in sorted(counts))
    found: list[Judged] = []
    for count, name, what in candidates:
        threshold = SLOW_THRESHOLDS.get(name, name) if slow else name
        if count in counts and threshold in thresholds:
            found.append(Judged(count, what, counts[count], thresholds[threshold], threshold, rule not in MARGINS))
    if known is None and (rule in ONE_IS_ENOUGH or rule in SEVERAL_DECIDE):
        return None
    return next((one for one in found if one.value >= one.threshold), found[0] if found and known else None)


def otherwise(detector: str, tree: Any) -> tuple[str, ...]:
    """What would have changed the answer, in sentences; none where the reason does not say enough."""
    if not isinstance(tree, Mapping):
        return ()
    if detector == "sigma_correlation":
        return tuple(_correlation(tree))
    if detector == "signature":
        return tuple(_signature(tree))
    if detector == "artifact":
        return tuple(_artifact(tree))
    return tuple(_behaviour(tree)) if detector.startswith("behaviour.") else ()


def _signature(tree: Mapping[str, Any]) -> Iterator[str]:
    outcome = tree.get("outcome")
    if isinstance(outcome, Mapping):
        yield f"{tree.get('result')}, {outcome.get('outcome')}: {outcome.get('because')}"
    features = [one for one in tree.get("features") or () if isinstance(one, Mapping)]
    for feature in features:
        told = {"agrees": "holds", "differs": "differs", "cannot be told": "cannot be told"}.get(
            str(feature.get("agrees"))
        )
        needed = f"; {feature.get('because')} ({feature.get('source')})" if feature.get("kind") == "invariant" else ""
        yield f"{told}: {feature.get('states')}; seen: {feature.get('seen') or 'none'}{needed}"
    if tree.get("checked"):
        yield f"this signature was checked {tree['checked']}"


def _artifact(tree: Mapping[str, Any]) -> Iterator[str]:
    reasons = [one for one in tree.get("reasons") or () if isinstance(one, Mapping)]
    for reason in reasons:
        place = str(reason.get("where")).rpartition("!/")[2].rpartition("/")[2]
        offset = reason.get("offset")
        at = f"{place}, byte {offset:,}" if isinstance(offset, int) else place
        yield f"{reason.get('severity')}: {reason.get('text')} ({at}); a loader {reason.get('loader_effect')}"
    left = tree.get("reasons_left_off")
    if isinstance(left, int) and left:
        yield f"and {left:,} more reasons"


def _behaviour(tree: Mapping[str, Any]) -> Iterator[str]:
    rule = str(tree.get("rule"))
    sentence = ONE_IS_ENOUGH.get(rule) or SEVERAL_DECIDE.get(rule)
    if sentence:
        yield sentence
    one = judged(tree)
    thresholds, counts = _numbers(tree.get("thresholds")), _numbers(tree.get("counts"))
    gap = thresholds.get("burst_gap_seconds", thresholds.get("episode_gap_seconds"))
    slow = bool(counts.get("slow"))
    if one is not None:
        within = "over all of the evidence" if slow else f"with no gap above {_span(gap)}" if gap else "in one burst"
        if one.exact:
            yield (
                f"{_number(one.threshold - 1)} {one.what} instead of {_number(one.value)} {within} would not be named "
                f"so: from {_number(one.threshold)} on it is ({one.threshold_name})"
            )
        else:
            yield (
                f"from {_number(one.threshold)} {one.what} on ({one.threshold_name}) {within} it is named so; here "
                f"{_number(one.value)} were seen; {MARGINS[rule]}"
            )
    pace = _pace(tree, counts)
    if one is not None and pace is not None and gap and not slow and pace <= gap:
        apart = f"the tries stood {_span(pace)} apart on average"
        yield f"{apart}; more than {_span(gap)} apart, each would be a burst of its own"
    wider = f"{one.threshold_name}_inside" if one is not None else ""
    if one is not None and wider in thresholds:
        verb = "also" if one.value >= thresholds[wider] else "not"
        yield f"from inside the threshold is {_number(thresholds[wider])} ({wider}): it would {verb} be named"


def _pace(tree: Mapping[str, Any], counts: Mapping[str, float]) -> float | None:
    """Average seconds between the tries."""
    number = counts.get("tries") or counts.get("probes") or counts.get("requests") or 0
    try:
        begin, end = (datetime.fromisoformat(str(tree[name])) for name in ("first", "last"))
        seconds = (end - begin).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
    return seconds / (number - 1) if number > 1 else None


def _correlation(tree: Mapping[str, Any]) -> Iterator[str]:
    value, condition, timespan = tree.get("value"), str(tree.get("condition")), tree.get("timespan")
    for operator, text in re.findall(r"\b(gte|gt|lte|lt|eq|neq) ([+-]?\d+(?:\.\d+)?)", condition):
        bound = float(text)
        if operator in ("gte", "gt") and isinstance(value, (int, float)):
            most = bound - 1 if operator == "gte" else bound
            yield (
                f"{_number(most)} instead of {_number(value)} within {timespan} would not be named: the condition is "
                f"{operator} {text}"
            )
        else:
            yield f"the condition is {operator} {text} within {timespan}; at its peak the value was {value}"
    children = tree.get("children")
    if str(tree.get("correlation", "")).startswith("temporal") and isinstance(children, list):
        once = [str(one.get("title")) for one in children if isinstance(one, Mapping) and one.get("matches") == 1]
        if once:
            yield f"each of these matched once; without it the correlation would not hold: {', '.join(once)}"
    if tree.get("group"):
        yield f"other values of {', '.join(map(str, tree['group']))} are counted apart"


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {
        str(name): number
        for name, number in value.items()
        if isinstance(number, (int, float)) and not isinstance(number, bool)
    }


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.2f}"


def _span(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "?"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and (seconds % size == 0 or seconds >= 10 * size):
            return f"{_number(round(seconds / size, 1))} {name}"
    return f"{_number(round(seconds, 1))} s"
