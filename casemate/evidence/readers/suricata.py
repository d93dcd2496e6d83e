"""Suricata's EVE JSON, one event a line, all event types.

Definition: "EVE JSON Format" in Suricata's user guide (7 and 8) and its JSON schema.  Objects inside
an event become dotted names (``alert.signature``), arrays of plain values one element per line of
text, arrays of objects (``dns.answers``) stay JSON text.

Yields ``suricata_event``.  Times carry a zone in the log; one without is taken as UTC and flagged.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from casemate.evidence.readers.address_columns import flag_addresses
from casemate.evidence.readers.arrangement import Arrangement, Keys
from casemate.evidence.readers.base import ReadContext, ReaderSpec, Reject, Rows, Source, Tally
from casemate.evidence.readers.json_rows import read_json
from casemate.schema.native import NativeTable

LOOKED_AT = 8

_TYPES = (
    "alert anomaly arp bittorrent_dht dcerpc dhcp dnp3 dns drop email fileinfo flow frame ftp ftp_data http http2 ike "
    "ikev2 krb5 ldap mdns metadata modbus mqtt netflow nfs packet pgsql pop3 quic rdp rfb sip smb smtp snmp ssh "
    "stats tftp tls websocket"
)
EVENT_TYPES = frozenset(_TYPES.split())

_PARTS: dict[str, str] = {
    "": "timestamp event_type flow_id parent_id src_ip src_port dest_ip dest_port proto ip_v app_proto app_proto_ts "
    "app_proto_tc app_proto_orig app_proto_expected direction files icmp_type icmp_code response_icmp_type "
    "response_icmp_code spi tx_id tx_guessed in_iface vlan community_id host sensor_name pcap_cnt pcap_filename "
    "pkt_src xff payload payload_printable payload_length packet stream capture_file",
    "ether": "src_mac dest_mac src_macs dest_macs",
    "alert": "action gid signature_id rev signature category severity source.ip source.port target.ip target.port "
    "rule xff metadata.affected_product metadata.attack_target metadata.confidence metadata.created_at "
    "metadata.cve metadata.deployment metadata.former_category metadata.malware_family "
    "metadata.mitre_tactic_id metadata.mitre_tactic_name metadata.mitre_technique_id metadata.mitre_technique_name "
    "metadata.performance_impact metadata.policy metadata.signature_severity metadata.tag metadata.updated_at",
    "anomaly": "app_proto type event code layer",
    "drop": "len tos ttl ipid tcpseq tcpack tcpwin syn ack psh rst urg fin tcpres tcpurgp udplen icmp_id icmp_seq "
    "reason",
    "verdict": "action reject-target reject",
    "flow": "pkts_toserver pkts_toclient bytes_toserver bytes_toclient start end age state reason alerted action "
    "bypass bypassed.pkts_toserver bypassed.pkts_toclient bypassed.bytes_toserver bypassed.bytes_toclient src_ip "
    "src_port dest_ip dest_port emergency wrong_thread tx_cnt exception_policy",
    "netflow": "pkts bytes start end age min_ttl max_ttl tx_cnt",
    "tcp": "tcp_flags tcp_flags_ts tcp_flags_tc syn fin rst psh ack urg ecn cwr state ts_max_regions tc_max_regions",
    "dns": "version type id flags qr aa tc rd ra z opcode rrname rrtype rcode ttl rdata tx_id queries query answer "
    "answers authorities additionals grouped.A grouped.AAAA grouped.CNAME grouped.MX grouped.NS grouped.NULL "
    "grouped.PTR grouped.SRV grouped.TXT",
    "http": "hostname url http_user_agent http_content_type http_refer http_method protocol status redirect length "
    "xff http_port content_range.raw accept accept_encoding accept_language authorization cookie x_forwarded_for "
    "request_headers response_headers http_request_body http_response_body http_request_body_printable "
    "http_response_body_printable version http2.stream_id http2.request.priority http2.response",
    "tls": "subject issuerdn serial fingerprint sni version notbefore notafter subjectaltname session_resumed "
    "from_proto certificate chain ja3.hash ja3.string ja3s.hash ja3s.string ja4 client_alpns server_alpns "
    "client.subject client.issuerdn client.fingerprint client.serial client.notbefore client.notafter",
    "ssh": "client.proto_version client.software_version client.hassh.hash client.hassh.string "
    "server.proto_version server.software_version server.hassh.hash server.hassh.string",
    "fileinfo": "filename magic mimetype gaps state md5 sha1 sha256 stored storing file_id size tx_id sid start end",
    "smb": "id dialect command status status_code session_id tree_id filename disposition access share share_type "
    "directory named_pipe service max_read_size max_write_size client_dialects client_guid server_guid fuid created "
    "accessed modified changed size function rename.from rename.to set_info.class set_info.info_level "
    "ntlmssp.domain ntlmssp.host ntlmssp.user ntlmssp.version ntlmssp.warning kerberos.realm kerberos.snames "
    "request.native_os request.native_lm response.native_os response.native_lm dcerpc.request dcerpc.response "
    "dcerpc.call_id dcerpc.opnum dcerpc.interface dcerpc.interfaces dcerpc.endpoint dcerpc.req.frag_cnt "
    "dcerpc.req.stub_data_size dcerpc.res.frag_cnt dcerpc.res.stub_data_size",
    "dcerpc": "request response call_id rpc_version interfaces activityuuid seqnum req.opnum req.frag_cnt "
    "req.stub_data_size res.frag_cnt res.stub_data_size",
    "krb5": "msg_type cname realm sname encryption weak_encryption ticket_encryption ticket_weak_encryption "
    "failed_request error_code",
    "smtp": "helo mail_from rcpt_to",
    "email": "status from to cc subject date message_id x_mailer url attachment body_md5 subject_md5 has_ipv4_url "
    "has_ipv6_url has_exe_url received",
    "ftp": "command command_data command_truncated reply completion_code reply_received reply_truncated mode "
    "dynamic_port",
    "ftp_data": "filename command",
    "tftp": "packet file mode",
    "dhcp": "type id client_mac assigned_ip client_ip relay_ip next_server_ip dhcp_type client_id hostname "
    "requested_ip params lease_time renewal_time rebinding_time subnet_mask routers dns_servers "
    "vendor_class_identifier",
    "rdp": "tx_id event_type cookie protocol channels client.version client.desktop_width client.desktop_height "
    "client.color_depth client.keyboard_layout client.build client.client_name client.keyboard_type "
    "client.function_keys client.product_id client.capabilities client.id server_supports x509_serials error",
    "rfb": "server_protocol_version.major server_protocol_version.minor client_protocol_version.major "
    "client_protocol_version.minor authentication.security_type authentication.security_result "
    "authentication.vnc.challenge authentication.vnc.response authentication.security_failure_reason "
    "screen_shared framebuffer.width framebuffer.height framebuffer.name",
    "snmp": "version pdu_type community error vars usm trap_type trap_oid trap_address",
    "sip": "method uri version request_line code reason response_line",
    "nfs": "version procedure filename id file_tx type status hhash rename.from rename.to read.first read.last "
    "read.chunks read.last_xid write.first write.last write.chunks write.last_xid",
    "rpc": "xid status auth_type creds.machine_name creds.uid creds.gid",
    "ike": "version_major version_minor exchange_type message_id init_spi resp_spi role errors payload notify",
    "mqtt": "connect connack publish subscribe suback disconnect",
    "pgsql": "tx_id request response",
    "quic": "version sni ua ja3.hash ja3.string ja4 cyu extensions",
    "modbus": "id request response",
    "ldap": "request responses",
    "websocket": "fin mask opcode payload_printable payload_base64",
    "traffic": "id label",
    "tunnel": "src_ip src_port dest_ip dest_port proto depth pcap_cnt pkt_src",
    "metadata": "flowbits flowints flowvars pktvars",
    "packet_info": "linktype linktype_name",
}
"""Object of the event to its fields; the first part names those of the event itself."""

SURICATA_EVENT = NativeTable(
    "suricata_event",
    tuple(f"{part}.{name}" if part else name for part, names in _PARTS.items() for name in names.split()),
    "Suricata: EVE events of all types.",
)

ADDRESSES = ("src_ip", "dest_ip")
_DECLARED = frozenset(SURICATA_EVENT.columns)


def recognise(head: bytes) -> int:
    """95 where one of the first lines is an EVE event, else 0."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n", LOOKED_AT)[:LOOKED_AT]:
        if b'"event_type"' not in line:
            continue
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        kind = event.get("event_type") if isinstance(event, dict) else None
        if isinstance(kind, str) and kind in EVENT_TYPES and "timestamp" in event:
            return 95
    return 0


def read(source: Source, context: ReadContext) -> Iterator[Rows | Reject | Tally]:
    """All events."""
    for item in read_json(source, context, (SURICATA_EVENT,), arrange):
        yield flag_addresses(item, ADDRESSES) if isinstance(item, Rows) else item


def arrange(keys: Keys) -> Arrangement:
    """Declared names to their columns, the rest to ``rest``."""
    targets = tuple(name if name in _DECLARED else None for name in keys)
    return Arrangement(SURICATA_EVENT.name, targets, (keys.index("timestamp"),) if "timestamp" in keys else ())


SURICATA = ReaderSpec("suricata_eve", 1, (SURICATA_EVENT,), recognise, read, continues=True)
