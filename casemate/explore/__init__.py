"""Answering questions about a case: one hardened SELECT at a time."""
