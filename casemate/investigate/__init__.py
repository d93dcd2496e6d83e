"""The main job, in phases that each end in one commit: intake, rules, correlations, behaviour, attempts.

Killed at any point, the next run goes on: evidence already in is skipped, evidence already held
against the rule set is not matched again, and a phase whose inputs have not changed is not repeated.
"""
