"""Flow records: datagrams of NetFlow and IPFIX, files of nfdump, its text exports, and the connections made of them."""
