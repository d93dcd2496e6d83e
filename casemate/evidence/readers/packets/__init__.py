"""Packets to connections and protocol records; see pcap.py beside this folder for the reader."""
