"""Tunings: what a site or a case knows better than a rule, kept apart from the rules.

A tuning is a Sigma filter (Sigma Filters Specification 2.1) with a reason, an author and an end.  It takes
findings out (``suppress``) or gives them another severity (``severity``).  It names rules by id, so it
outlives their updates.  Core assets of ``case.toml`` raise severities by one step in the same pass.

``where.py`` reads the short form of a condition, ``tunings.py`` says what a tuning is and how it is kept,
``overlay.py`` which are in force, ``judge.py`` what they say of findings, ``severity.py`` and ``assets.py``
how severities change.
"""
