"""How regular the contacts of a pair are: the numbers behind a beacon.

Parts that RITA v5 scores (Active Countermeasures, ``analysis/beacon``: "Bowley skew" and "median absolute deviation"
of the gaps and of the bytes sent, the spread over the hours of the day, and the share of the time covered) are
computed here as well.  What those miss:

* contacts of one beat (a request and its answer may be several connections) are put together first: what follows
  within a tenth of the upper gaps (their 80th percentile) belongs to the same beat;
* jitter: gaps drawn evenly from 50 % to 150 % deviate by a quarter of their median, unplanned ones (Poisson) by seven
  tenths, and a tenth of the unplanned are shorter than a sixth of their median; so the lowest tenth is looked at too;
* missing hours and office hours leave few very long gaps, which medians and lower quantiles do not see;
* several periods one after the other: each gap is held against the one before it (median of the ratio), which only
  sees the few changes.

How strict a limit is depends on how many gaps there are: seven unplanned gaps look regular by chance once in five.
The limits were set on drawn series so that fewer than 1 in 100 unplanned series of 12 or more gaps pass.
"""

from __future__ import annotations

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
# pyright: reportReturnType=false, reportCallIssue=false, reportIndexIssue=false, reportOptionalOperand=false
# (what an Ibis column can do depends on its table, which is known at run time only)
import ibis
import ibis.expr.types as ir

from casemate.detect.behaviour.pairs import microseconds

SAME_BEAT = 0.1
"""Share of the upper gaps within which contacts are one beat."""
HOUR = 3_600_000_000


def scores(table: ibis.Table) -> ibis.Table:
    """One row per pair of a table of contacts (``pair``, a number; ``time, said, heard``) that may be regular.

    Columns: ``pair``, ``beats``, ``gap`` (microseconds, median), ``spread`` (median deviation of gaps / median),
    ``skew`` (Bowley, absolute), ``floor`` (lowest tenth / median), ``change`` (median of the logarithm of the ratio of
    neighbouring gaps), ``size`` and ``answer`` (bytes, medians), ``size_spread``, ``size_skew``, ``answer_spread``,
    ``hours`` with a beat, ``lasting`` (hours from first to last).
    """
    pair = ["pair"]
    beats = _beats(_spaced(table.select(*pair, "said", "heard", at=microseconds(table.time))))
    gaps = _steady_gaps(beats)
    beats = beats.semi_join(gaps, pair)
    sizes = beats.group_by(pair).agg(
        parts=beats.said.quantile([0.25, 0.5, 0.75]),
        answer=beats.heard.quantile(0.5),
        hours=beats.hour.nunique(),
        lasting=(beats.hour.max() - beats.hour.min() + 1),
    )
    sizes = sizes.mutate(size_lower=sizes.parts[0], size=sizes.parts[1], size_higher=sizes.parts[2]).drop("parts")
    middle = gaps.inner_join(sizes, pair)
    held = beats.select(*pair, one_size="said", one_answer="heard")
    held = held.inner_join(middle.select(*pair, "size", "answer"), pair)
    deviations = held.group_by(pair).agg(
        size_deviation=(held.one_size - held.size).abs().quantile(0.5),
        answer_deviation=(held.one_answer - held.answer).abs().quantile(0.5),
    )
    both = middle.inner_join(deviations, pair)
    return both.select(
        *(*pair, "beats", "gap", "size", "answer", "hours", "lasting", "spread", "floor", "change"),
        skew=_skew(both.lower, both.gap, both.higher),
        size_spread=_share(both.size_deviation, both.size),
        size_skew=_skew(both.size_lower, both.size, both.size_higher),
        answer_spread=_share(both.answer_deviation, both.answer),
    )


def may_be_regular(contacts: ibis.Table, beats: int) -> ibis.Table:
    """The pairs among contacts (``pair``, a number, and ``time``) that :func:`regular` may hold for: column ``pair``.

    Looks at the gaps alone, without what sizes and deviations rule out: over very many contacts, that is much less to
    carry and to put in order.

    Args:
        beats: fewest of a pair.
    """
    gaps = _steady_gaps(_beats(_spaced(contacts.select("pair", at=microseconds(contacts.time)))))
    return gaps.filter(gaps.beats >= beats).select("pair")


def regular(table: ibis.Table) -> ir.BooleanValue:
    """Whether the gaps of a row of :func:`scores` are a clock's.

    With few beats, sizes must agree as well, or the gaps be nearly equal.
    """
    return _by_the_clock(table, table.spread, table.size_spread <= 0.1)


def _by_the_clock(table: ibis.Table, spread: ir.FloatingValue, same: ir.BooleanValue) -> ir.BooleanValue:
    """The limits; a lower `spread`, and sizes that are the `same`, pass wherever others do."""
    many, some, few = table.beats >= 50, table.beats >= 20, table.beats >= 12
    limit = ibis.cases(
        (many & same, 0.45), (many, 0.40), (some & same, 0.40), (some, 0.34), (few & same, 0.30), (few, 0.20),
        (same, 0.25), else_=0.10,
    )  # fmt: skip
    change = ibis.cases((many & same, 0.80), (some & same, 0.70), (some, 0.60), (few & same, 0.60), else_=0.45)
    steady = (spread <= limit) & (table.change <= change) & (table.floor >= 0.3)
    phases = some & (table.change <= ibis.ifelse(same, 0.35, 0.25)) & (table.floor >= 0.02)
    exact = (spread <= 0.05) & (table.floor >= 0.02)  # one clock, and another beside it
    return steady | phases | exact


def _spaced(contacts: ibis.Table) -> ibis.Table:
    """Adds ``gap``, the microseconds since the contact before."""
    return contacts.mutate(gap=contacts["at"] - contacts["at"].lag().over(_in_order(contacts)))


def _beats(contacts: ibis.Table) -> ibis.Table:
    """Contacts that begin a beat, with ``gap`` since the beat before, ``ratio`` to the gap before that, ``hour``."""
    upper = contacts.group_by("pair").agg(upper=contacts.gap.quantile(0.8))
    joined = contacts.inner_join(upper, "pair")
    beats = joined.filter(joined.gap.isnull() | (joined.gap > joined.upper * SAME_BEAT)).drop("gap", "upper")
    at, order = beats["at"], _in_order(beats)
    # the gap before this one in the same pass: putting contacts in order is what costs
    beats = beats.mutate(gap=at - at.lag().over(order), before=at.lag().over(order) - at.lag(2).over(order))
    ratio = (beats.gap.cast("float64") / ibis.ifelse(beats.before > 0, beats.before, ibis.null("int64"))).ln().abs()
    return beats.mutate(ratio=ratio, hour=beats["at"] // HOUR)


def _steady_gaps(beats: ibis.Table) -> ibis.Table:
    """Pairs whose gaps may be a clock's, with ``beats``, quantiles of the gaps, ``floor``, ``change``, ``spread``."""
    gaps = beats.group_by("pair").agg(
        beats=beats.count(), parts=beats.gap.quantile([0.1, 0.25, 0.5, 0.75]), change=beats.ratio.quantile(0.5)
    )
    gaps = gaps.mutate(
        lowest=gaps.parts[0], lower=gaps.parts[1], gap=gaps.parts[2], higher=gaps.parts[3]
    ).drop("parts")  # fmt: skip
    gaps = gaps.mutate(floor=_share(gaps.lowest, gaps.gap), change=gaps.change.fill_null(9.0))
    # the median deviation is at least the nearer quartile's distance: most pairs need no more than this
    nearer = ibis.least(gaps.higher - gaps.gap, gaps.gap - gaps.lower)
    gaps = gaps.filter(_by_the_clock(gaps, _share(nearer, gaps.gap), ibis.literal(True)))
    held = beats.inner_join(gaps.select("pair", middle="gap"), "pair")
    deviations = held.group_by("pair").agg(gap_deviation=(held.gap - held.middle).abs().quantile(0.5))
    gaps = gaps.inner_join(deviations, "pair")
    gaps = gaps.mutate(spread=_share(gaps.gap_deviation, gaps.gap))
    return gaps.filter(_by_the_clock(gaps, gaps.spread, ibis.literal(True)))


def _in_order(contacts: ibis.Table):
    """Contacts of one time by their sizes, where they are known: what else tells them apart changes no score."""
    sizes = [contacts[name] for name in ("said", "heard") if name in contacts.columns]
    return ibis.window(group_by="pair", order_by=[contacts["at"], *sizes])


def _share(part: ir.NumericValue, whole: ir.NumericValue) -> ir.FloatingValue:
    """0 where both are 0."""
    return ibis.ifelse(whole > 0, part / ibis.greatest(whole, 1), ibis.ifelse(part > 0, 1.0, 0.0))


def _skew(lower: ir.NumericValue, middle: ir.NumericValue, higher: ir.NumericValue) -> ir.FloatingValue:
    """Bowley's: 0 for a symmetrical spread, 1 for a lopsided one."""
    span = higher - lower
    return ibis.ifelse(span > 0, ((lower + higher - 2 * middle) / ibis.greatest(span, 1)).abs(), 0.0)
