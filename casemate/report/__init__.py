"""The report: one self-contained page of a case that opens offline."""
