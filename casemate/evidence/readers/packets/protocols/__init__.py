"""Protocols inside packets, one file each."""
