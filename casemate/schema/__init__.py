"""Columns and types of everything a case holds, one file per table family."""
