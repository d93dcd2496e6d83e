"""Zeek's logs and their fields, as declared columns of native tables.

The names are Zeek's own, from the log reference of its documentation ("Zeek Log Formats and
Inspection" and the records of the base and policy scripts): the fields that Zeek writes as
shipped, those of widely loaded policy scripts and packages (JA3, community id, VLAN, MAC), and
those of older releases that are still met.  Anything else a log holds goes to ``rest``.

``COMMON`` follows in every table: fields that cluster and streaming set-ups add to each record.
"""

from __future__ import annotations

from collections.abc import Mapping

from casemate.schema.native import NativeTable

CONNECTION = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p"
COMMON = "_write_ts _system_name _node_name"

LOGS: dict[str, tuple[str, str]] = {
    # network protocols
    "conn": (
        "connections",
        f"{CONNECTION} proto service duration orig_bytes resp_bytes conn_state local_orig local_resp missed_bytes "
        "history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents ip_proto orig_l2_addr resp_l2_addr "
        "vlan inner_vlan community_id orig_cc resp_cc speculative_service",
    ),
    "dns": (
        "DNS queries with their answers",
        f"{CONNECTION} proto trans_id rtt query qclass qclass_name qtype qtype_name rcode rcode_name AA TC RD RA Z "
        "answers TTLs rejected auth addl opcode opcode_name",
    ),
    "http": (
        "HTTP requests with their replies",
        f"{CONNECTION} trans_depth method host uri referrer version user_agent origin request_body_len "
        "response_body_len status_code status_msg info_code info_msg tags username password proxied orig_fuids "
        "orig_filenames orig_mime_types resp_fuids resp_filenames resp_mime_types client_header_names "
        "server_header_names cookie_vars uri_vars filename",
    ),
    "ssl": (
        "TLS handshakes",
        f"{CONNECTION} version cipher curve server_name resumed last_alert next_protocol established ssl_history "
        "cert_chain_fps client_cert_chain_fps cert_chain_fuids client_cert_chain_fuids subject issuer client_subject "
        "client_issuer sni_matches_cert validation_status validation_code ocsp_status valid_ct_logs ja3 ja3s ja4",
    ),
    "ssh": (
        "SSH sessions",
        f"{CONNECTION} version auth_success auth_attempts direction client server cipher_alg mac_alg compression_alg "
        "kex_alg host_key_alg host_key remote_location.country_code remote_location.region remote_location.city "
        "remote_location.latitude remote_location.longitude hassh hasshServer",
    ),
    "smtp": (
        "SMTP transactions",
        f"{CONNECTION} trans_depth helo mailfrom rcptto date from to cc reply_to msg_id in_reply_to subject "
        "x_originating_ip first_received second_received last_reply path user_agent tls fuids is_webmail",
    ),
    "ftp": (
        "FTP commands with their replies",
        f"{CONNECTION} user password command arg mime_type file_size reply_code reply_msg data_channel.passive "
        "data_channel.orig_h data_channel.resp_h data_channel.resp_p cwd fuid",
    ),
    "rdp": (
        "RDP sessions",
        f"{CONNECTION} cookie result security_protocol client_channels keyboard_layout client_build client_name "
        "client_dig_product_id desktop_width desktop_height requested_color_depth cert_type cert_count "
        "cert_permanent encryption_level encryption_method",
    ),
    "rfb": (
        "RFB (VNC) sessions",
        f"{CONNECTION} client_major_version client_minor_version server_major_version server_minor_version "
        "authentication_method auth share_flag desktop_name width height",
    ),
    "kerberos": (
        "Kerberos requests with their replies",
        f"{CONNECTION} request_type client service success error_code error_msg from till cipher forwardable "
        "renewable client_cert_subject client_cert_fuid server_cert_subject server_cert_fuid auth_ticket new_ticket",
    ),
    "ntlm": (
        "NTLM authentications",
        f"{CONNECTION} username hostname domainname server_nb_computer_name server_dns_computer_name "
        "server_tree_name success status",
    ),
    "dce_rpc": ("DCE/RPC calls", f"{CONNECTION} rtt named_pipe endpoint operation"),
    "smb_cmd": (
        "SMB commands",
        f"{CONNECTION} command sub_command argument status rtt version username tree tree_service "
        "referenced_file.ts referenced_file.uid referenced_file.fuid referenced_file.action referenced_file.path "
        "referenced_file.name referenced_file.size referenced_file.prev_name",
    ),
    "smb_files": (
        "actions on files over SMB",
        f"{CONNECTION} fuid action path name size prev_name times.modified times.accessed times.created "
        "times.changed data_offset_req data_len_req data_len_rsp",
    ),
    "smb_mapping": ("SMB tree connects", f"{CONNECTION} path service native_file_system share_type"),
    "dhcp": (
        "DHCP conversations",
        "ts uids client_addr server_addr mac host_name client_fqdn domain requested_addr assigned_addr lease_time "
        "client_message server_message msg_types duration client_chaddr client_software server_software "
        "circuit_id agent_remote_id subscriber_id uid id.orig_h id.orig_p id.resp_h id.resp_p assigned_ip trans_id",
    ),
    "snmp": (
        "SNMP sessions",
        f"{CONNECTION} duration version community get_requests get_bulk_requests get_responses set_requests "
        "display_string up_since",
    ),
    "sip": (
        "SIP requests with their replies",
        f"{CONNECTION} trans_depth method uri date request_from request_to response_from response_to reply_to "
        "call_id seq subject request_path response_path user_agent status_code status_msg warning request_body_len "
        "response_body_len content_type",
    ),
    "mysql": ("MySQL commands", f"{CONNECTION} cmd arg success rows response"),
    "postgresql": (
        "PostgreSQL commands",
        f"{CONNECTION} user database application_name frontend frontend_arg success backend backend_arg rows",
    ),
    "redis": ("Redis commands", f"{CONNECTION} cmd.name cmd.key cmd.value success reply.value"),
    "irc": (
        "IRC commands",
        f"{CONNECTION} nick user command value addl dcc_file_name dcc_file_size dcc_mime_type fuid",
    ),
    "socks": (
        "SOCKS proxy requests",
        f"{CONNECTION} version user password status request.host request.name request_p bound.host bound.name bound_p",
    ),
    "syslog": ("syslog messages seen on the wire", f"{CONNECTION} proto facility severity message"),
    "ntp": (
        "NTP messages",
        f"{CONNECTION} version mode stratum poll precision root_delay root_disp ref_id ref_time org_time rec_time "
        "xmt_time num_exts",
    ),
    "radius": (
        "RADIUS authentications",
        f"{CONNECTION} username mac framed_addr tunnel_client connect_info reply_msg result ttl",
    ),
    "ldap": (
        "LDAP operations",
        f"{CONNECTION} message_id version opcode result diagnostic_message object argument",
    ),
    "ldap_search": (
        "LDAP searches",
        f"{CONNECTION} message_id scope deref_aliases base_object result_count result diagnostic_message filter "
        "attributes",
    ),
    "modbus": ("Modbus messages", f"{CONNECTION} tid unit func pdu_type exception track_address"),
    "dnp3": ("DNP3 requests with their replies", f"{CONNECTION} fc_request fc_reply iin"),
    "mqtt_connect": (
        "MQTT connects",
        f"{CONNECTION} proto_name proto_version client_id connect_status will_topic will_payload",
    ),
    "mqtt_publish": (
        "MQTT publications",
        f"{CONNECTION} from_client retain qos status topic payload payload_len",
    ),
    "mqtt_subscribe": ("MQTT subscriptions", f"{CONNECTION} action topics qos_levels granted_qos_level ack"),
    "quic": (
        "QUIC connections",
        f"{CONNECTION} version client_initial_dcid client_scid server_scid server_name client_protocol history",
    ),
    "websocket": (
        "WebSocket handshakes",
        f"{CONNECTION} host uri user_agent subprotocol client_protocols server_extensions client_extensions",
    ),
    "tunnel": ("tunnels", f"{CONNECTION} tunnel_type action"),
    "traceroute": ("traceroutes", "ts src dst proto"),
    # files
    "files": (
        "files seen on the wire",
        "ts fuid tx_hosts rx_hosts conn_uids uid id.orig_h id.orig_p id.resp_h id.resp_p source depth analyzers "
        "mime_type filename duration local_orig is_orig seen_bytes total_bytes missing_bytes overflow_bytes timedout "
        "parent_fuid md5 sha1 sha256 extracted extracted_cutoff extracted_size entropy",
    ),
    "x509": (
        "X.509 certificates",
        "ts fingerprint id certificate.version certificate.serial certificate.subject certificate.issuer "
        "certificate.not_valid_before certificate.not_valid_after certificate.key_alg certificate.sig_alg "
        "certificate.key_type certificate.key_length certificate.exponent certificate.curve san.dns san.uri "
        "san.email san.ip basic_constraints.ca basic_constraints.path_len host_cert client_cert",
    ),
    "ocsp": (
        "OCSP replies",
        "ts id hashAlgorithm issuerNameHash issuerKeyHash serialNumber certStatus revoketime revokereason "
        "thisUpdate nextUpdate",
    ),
    "pe": (
        "Windows executables seen on the wire",
        "ts id machine compile_ts os subsystem is_exe is_64bit uses_aslr uses_dep uses_code_integrity uses_seh "
        "has_import_table has_export_table has_cert_table has_debug_data section_names",
    ),
    # detection
    "notice": (
        "Zeek's notices",
        f"{CONNECTION} fuid file_mime_type file_desc proto note msg sub src dst p n peer_descr actions email_dest "
        "suppress_for dropped remote_location.country_code remote_location.region remote_location.city "
        "remote_location.latitude remote_location.longitude",
    ),
    "intel": (
        "hits of Zeek's intelligence framework",
        f"{CONNECTION} seen.indicator seen.indicator_type seen.where seen.node matched sources fuid file_mime_type "
        "file_desc",
    ),
    "signatures": (
        "hits of Zeek's signatures",
        "ts uid src_addr src_port dst_addr dst_port note sig_id event_msg sub_msg sig_count host_count",
    ),
    "weird": ("unexpected protocol behaviour", f"{CONNECTION} name addl notice peer source"),
    "dpd": ("protocols that did not parse", f"{CONNECTION} proto analyzer failure_reason packet_segment"),
    "analyzer": (
        "protocols and files that did not parse",
        "ts cause analyzer_kind analyzer_name uid fuid id.orig_h id.orig_p id.resp_h id.resp_p "
        "failure_reason failure_data",
    ),
    # inventory
    "software": (
        "software seen on hosts",
        "ts host host_p software_type name version.major version.minor version.minor2 version.minor3 version.addl "
        "unparsed_version url",
    ),
    "known_hosts": ("hosts seen", "ts host"),
    "known_services": ("services seen", "ts host port_num port_proto service"),
    "known_certs": ("certificates seen on hosts", "ts host port_num subject issuer_subject serial"),
    "known_devices": ("devices seen", "ts mac dhcp_host_name"),
    # Zeek itself
    "capture_loss": ("Zeek's estimate of lost packets", "ts ts_delta peer gaps acks percent_lost"),
    "stats": (
        "Zeek's own statistics",
        "ts peer mem pkts_proc bytes_recv pkts_dropped pkts_link pkt_lag pkts_filtered events_proc events_queued "
        "active_tcp_conns active_udp_conns active_icmp_conns tcp_conns udp_conns icmp_conns timers active_timers "
        "files active_files dns_requests active_dns_requests reassem_tcp_size reassem_file_size reassem_frag_size "
        "reassem_unknown_size",
    ),
    "packet_filter": ("Zeek's capture filter", "ts node filter init success failure_reason"),
    "loaded_scripts": ("scripts Zeek loaded", "name"),
    "reporter": ("Zeek's own messages", "ts level message location"),
    "cluster": ("Zeek's cluster messages", "ts node message"),
    "broker": ("Zeek's broker messages", "ts ty ev peer.address peer.bound_port message"),
}
"""Path of a log to what it holds and its fields."""


def _table(path: str, description: str, fields: str) -> NativeTable:
    return NativeTable(f"zeek_{path}", tuple(dict.fromkeys(f"{fields} {COMMON}".split())), f"Zeek: {description}.")


TABLES: Mapping[str, NativeTable] = {path: _table(path, *log) for path, log in LOGS.items()}
"""Path of a log to its native table."""

OTHER = NativeTable(
    "zeek_other",
    ("_path", *CONNECTION.split(), *COMMON.split()),
    "Zeek: logs of no table of their own; `_path` says which, their fields are in `rest`.",
)

ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "dhcp": ("client_addr", "server_addr", "requested_addr", "assigned_addr", "assigned_ip"),
    "ftp": ("data_channel.orig_h", "data_channel.resp_h"),
    "known_certs": ("host",),
    "known_hosts": ("host",),
    "known_services": ("host",),
    "notice": ("src", "dst"),
    "signatures": ("src_addr", "dst_addr"),
    "software": ("host",),
    "traceroute": ("src", "dst"),
}
"""Fields of one log that hold an address, besides those of ``CONNECTION_ADDRESSES``."""
CONNECTION_ADDRESSES = ("id.orig_h", "id.resp_h")

ALIASES: Mapping[str, str] = {"@system": "_system_name", "_system": "_system_name"}
"""Names under which exporters write fields of ``COMMON``."""

PATH_FIELDS = ("_path", "@stream", "@path")
"""JSON fields that name the log."""

_EVERYWHERE = frozenset(f"{CONNECTION} {COMMON} proto".split())


def canonical_names(table: NativeTable, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a record's fields in Zeek's spelling.

    Some exporters write ``id_orig_h`` for ``id.orig_h``.  A name is only changed when the table
    does not know it, knows its dotted form, and the record does not hold that form as well.
    """
    known = set(table.columns)
    dotted = {column.replace(".", "_"): column for column in table.columns if "." in column}
    taken = set(names)
    result = []
    for name in names:
        other = ALIASES.get(name) or dotted.get(name, name)
        use = other if name not in known and other in known and other not in taken else name
        taken.add(use)
        result.append(use)
    return tuple(result)


def infer_path(names: tuple[str, ...], file_name: str = "") -> str | None:
    """Which log a record with these fields is of, where it does not say; None if that is open.

    At least four of five fields must be the log's own and at least one of them particular.
    Equal candidates are decided by the name of the file, else by the least number of fields the
    log has beyond these; a tie stays open.
    """
    hint = file_name.replace("\\", "/").rsplit("/", 1)[-1].lower().split(".", 1)[0]
    best: list[tuple[float, bool, int, str]] = []
    for path, table in TABLES.items():
        canonical = set(canonical_names(table, names))
        own = canonical & set(table.columns)
        if not own - _EVERYWHERE and not (path == hint and own):
            continue
        share = len(own) / len(canonical)
        if share >= 0.8:
            best.append((share, path == hint, -len(set(table.columns) - own), path))
    best.sort(reverse=True)
    if not best or (len(best) > 1 and best[0][:3] == best[1][:3]):
        return None
    return best[0][3]
