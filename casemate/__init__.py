"""Casemate: from raw evidence to one case in which every number leads back to its records."""

__version__ = "0.1.0"
