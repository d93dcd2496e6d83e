"""Information elements: what the numbers in templates of NetFlow v9 and IPFIX mean, and how their bytes are read.

Names and abstract data types are those of IANA's registry *IP Flow Information Export (IPFIX) Entities* (RFC 7012);
NetFlow v9's field types (RFC 3954) are its first 127.  Encodings are those of RFC 7011, section 6.  What is not listed
here keeps its numbers (``element.391``, ``enterprise.5951.128``) and its bytes in hexadecimal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address

LONGEST_VALUE = 4096
"""Bytes of one value that are kept; what is longer says so."""
REVERSE = 29305
"""Enterprise number of the reverse direction of a bidirectional flow (RFC 5103)."""
NTP_EPOCH = 2_208_988_800
_HALF = struct.Struct(">f")
_WHOLE = struct.Struct(">d")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def unsigned(data: bytes) -> str:
    """A number of any length up to eight bytes (reduced-size encoding)."""
    return str(int.from_bytes(data, "big")) if len(data) <= 8 else hexadecimal(data)


def signed(data: bytes) -> str:
    """A number with a sign."""
    return str(int.from_bytes(data, "big", signed=True)) if len(data) <= 8 else hexadecimal(data)


def floating(data: bytes) -> str:
    """A number of four or eight bytes after IEEE 754."""
    if len(data) == 4:
        return repr(_HALF.unpack(data)[0])
    return repr(_WHOLE.unpack(data)[0]) if len(data) == 8 else hexadecimal(data)


def hexadecimal(data: bytes) -> str:
    """Bytes, cut at :data:`LONGEST_VALUE`."""
    if len(data) > LONGEST_VALUE:
        return f"{data[:LONGEST_VALUE].hex()}... ({len(data):,} bytes)"
    return data.hex()


def text(data: bytes) -> str:
    """UTF-8 text without the zeros it is filled up with."""
    return data[:LONGEST_VALUE].rstrip(b"\x00").decode("utf-8", "backslashreplace")


def address4(data: bytes) -> str:
    """An IPv4 address."""
    return "{}.{}.{}.{}".format(*data) if len(data) == 4 else hexadecimal(data)


def address6(data: bytes) -> str:
    """An IPv6 address."""
    return str(IPv6Address(data)) if len(data) == 16 else hexadecimal(data)


def hardware(data: bytes) -> str:
    """A MAC address."""
    return data.hex(":") if len(data) == 6 else hexadecimal(data)


def truth(data: bytes) -> str:
    """A boolean: 1 is true, 2 is false."""
    return {b"\x01": "true", b"\x02": "false"}.get(data, data.hex())


def moment(microseconds: int) -> str:
    """Microseconds since 1970 as ISO 8601; the bare number where no calendar has it."""
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return str(microseconds)


def ntp(data: bytes) -> int | None:
    """Microseconds since 1970 of an NTP time stamp (era 0)."""
    if len(data) != 8:
        return None
    seconds, fraction = struct.unpack(">II", data)
    return (seconds - NTP_EPOCH) * 1_000_000 + (fraction * 1_000_000 >> 32)


def ntp_text(data: bytes) -> str:
    """An NTP time stamp as ISO 8601."""
    found = ntp(data)
    return hexadecimal(data) if found is None else moment(found)


Read = Callable[[bytes], str]

_LISTS: tuple[tuple[Read, str], ...] = (
    (
        unsigned,
        "1 octetDeltaCount 2 packetDeltaCount 3 deltaFlowCount 4 protocolIdentifier 5 ipClassOfService "
        "6 tcpControlBits 7 sourceTransportPort 9 sourceIPv4PrefixLength 10 ingressInterface "
        "11 destinationTransportPort 13 destinationIPv4PrefixLength 14 egressInterface 16 bgpSourceAsNumber "
        "17 bgpDestinationAsNumber 19 postMCastPacketDeltaCount 20 postMCastOctetDeltaCount 21 flowEndSysUpTime "
        "22 flowStartSysUpTime 23 postOctetDeltaCount 24 postPacketDeltaCount 25 minimumIpTotalLength "
        "26 maximumIpTotalLength 29 sourceIPv6PrefixLength 30 destinationIPv6PrefixLength 31 flowLabelIPv6 "
        "32 icmpTypeCodeIPv4 33 igmpType 34 samplingInterval 35 samplingAlgorithm 36 flowActiveTimeout "
        "37 flowIdleTimeout 38 engineType 39 engineId 40 exportedOctetTotalCount 41 exportedMessageTotalCount "
        "42 exportedFlowRecordTotalCount 46 mplsTopLabelType 48 samplerId 49 samplerMode 50 samplerRandomInterval "
        "51 classId 52 minimumTTL 53 maximumTTL 54 fragmentIdentification 55 postIpClassOfService 58 vlanId "
        "59 postVlanId 60 ipVersion 61 flowDirection 64 ipv6ExtensionHeaders 85 octetTotalCount "
        "86 packetTotalCount 88 fragmentOffset 89 forwardingStatus 98 postIpDiffServCodePoint "
        "99 multicastReplicationFactor 128 bgpNextAdjacentAsNumber 129 bgpPrevAdjacentAsNumber "
        "132 droppedOctetDeltaCount 133 droppedPacketDeltaCount 134 droppedOctetTotalCount "
        "135 droppedPacketTotalCount 136 flowEndReason 137 commonPropertiesId 138 observationPointId "
        "139 icmpTypeCodeIPv6 141 lineCardId 142 portId 143 meteringProcessId 144 exportingProcessId "
        "145 templateId 148 flowId 149 observationDomainId 158 flowStartDeltaMicroseconds "
        "159 flowEndDeltaMicroseconds 161 flowDurationMilliseconds 162 flowDurationMicroseconds "
        "163 observedFlowTotalCount 164 ignoredPacketTotalCount 165 ignoredOctetTotalCount "
        "166 notSentFlowTotalCount 167 notSentPacketTotalCount 168 notSentOctetTotalCount 171 postOctetTotalCount "
        "172 postPacketTotalCount 173 flowKeyIndicator 176 icmpTypeIPv4 177 icmpCodeIPv4 178 icmpTypeIPv6 "
        "179 icmpCodeIPv6 180 udpSourcePort 181 udpDestinationPort 182 tcpSourcePort 183 tcpDestinationPort "
        "184 tcpSequenceNumber 185 tcpAcknowledgementNumber 186 tcpWindowSize 189 ipHeaderLength 192 ipTTL "
        "193 nextHeaderIPv6 194 mplsPayloadLength 195 ipDiffServCodePoint 196 ipPrecedence 197 fragmentFlags "
        "198 octetDeltaSumOfSquares 199 octetTotalSumOfSquares 202 mplsLabelStackDepth 204 ipPayloadLength "
        "205 udpMessageLength 206 isMulticast 207 ipv4IHL 208 ipv4Options 209 tcpOptions 218 tcpSynTotalCount "
        "219 tcpFinTotalCount 220 tcpRstTotalCount 221 tcpPshTotalCount 222 tcpAckTotalCount 223 tcpUrgTotalCount "
        "224 ipTotalLength 227 postNAPTSourceTransportPort 228 postNAPTDestinationTransportPort "
        "229 natOriginatingAddressRealm 230 natEvent 231 initiatorOctets 232 responderOctets 233 firewallEvent "
        "234 ingressVRFID 235 egressVRFID 239 biflowDirection 243 dot1qVlanId 244 dot1qPriority "
        "245 dot1qCustomerVlanId 252 ingressPhysicalInterface 253 egressPhysicalInterface 254 postDot1qVlanId "
        "256 ethernetType 298 initiatorPackets 299 responderPackets 302 selectorId 303 informationElementId "
        "304 selectorAlgorithm 305 samplingPacketInterval 306 samplingPacketSpace 309 samplingSize "
        "310 samplingPopulation 318 selectorIdTotalPktsObserved 319 selectorIdTotalPktsSelected "
        "346 privateEnterpriseNumber 361 portRangeStart 362 portRangeEnd 363 portRangeStepSize "
        "364 portRangeNumPorts",
    ),
    (
        address4,
        "8 sourceIPv4Address 12 destinationIPv4Address 15 ipNextHopIPv4Address 18 bgpNextHopIPv4Address "
        "44 sourceIPv4Prefix 45 destinationIPv4Prefix 47 mplsTopLabelIPv4Address 130 exporterIPv4Address "
        "211 collectorIPv4Address 225 postNATSourceIPv4Address 226 postNATDestinationIPv4Address",
    ),
    (
        address6,
        "27 sourceIPv6Address 28 destinationIPv6Address 62 ipNextHopIPv6Address 63 bgpNextHopIPv6Address "
        "131 exporterIPv6Address 140 mplsTopLabelIPv6Address 169 destinationIPv6Prefix 170 sourceIPv6Prefix "
        "212 collectorIPv6Address 281 postNATSourceIPv6Address 282 postNATDestinationIPv6Address",
    ),
    (
        hardware,
        "56 sourceMacAddress 57 postDestinationMacAddress 80 destinationMacAddress 81 postSourceMacAddress "
        "365 staMacAddress",
    ),
    (
        text,
        "82 interfaceName 83 interfaceDescription 84 samplerName 94 applicationDescription 96 applicationName "
        "147 wlanSSID 236 VRFName 335 selectorName 340 informationElementDescription 341 informationElementName "
        "371 userName 459 httpRequestMethod 460 httpRequestHost 461 httpRequestTarget 468 httpUserAgent",
    ),
    (
        lambda data: moment(int.from_bytes(data, "big") * 1_000_000) if len(data) <= 8 else hexadecimal(data),
        "150 flowStartSeconds 151 flowEndSeconds 322 observationTimeSeconds",
    ),
    (
        lambda data: moment(int.from_bytes(data, "big") * 1_000) if len(data) <= 8 else hexadecimal(data),
        "152 flowStartMilliseconds 153 flowEndMilliseconds 160 systemInitTimeMilliseconds "
        "258 collectionTimeMilliseconds 323 observationTimeMilliseconds",
    ),
    (
        ntp_text,
        "154 flowStartMicroseconds 155 flowEndMicroseconds 156 flowStartNanoseconds 157 flowEndNanoseconds "
        "324 observationTimeMicroseconds 325 observationTimeNanoseconds",
    ),
    (floating, "311 samplingProbability"),
    (truth, "276 dataRecordsReliability"),
    (
        hexadecimal,
        "70 mplsTopLabelStackSection 71 mplsLabelStackSection2 72 mplsLabelStackSection3 "
        "90 mplsVpnRouteDistinguisher 95 applicationId 210 paddingOctets 291 basicList 292 subTemplateList "
        "293 subTemplateMultiList",
    ),
)


def _listed() -> dict[int, tuple[str, Read]]:
    found: dict[int, tuple[str, Read]] = {}
    for read, listed in _LISTS:
        words = listed.split()
        for number, name in zip(words[::2], words[1::2], strict=True):
            found[int(number)] = name, read
    return found


ELEMENTS: dict[int, tuple[str, Read]] = _listed()
"""Number to name and how its bytes become text."""


def element(number: int, enterprise: int) -> tuple[str, Read]:
    """Name and reader of an element; `enterprise` is 0 for IANA's own."""
    if enterprise == 0:
        return ELEMENTS.get(number, (f"element.{number}", hexadecimal))
    if enterprise == REVERSE and number in ELEMENTS:
        name, read = ELEMENTS[number]
        return f"reverse{name[0].upper()}{name[1:]}", read
    return f"enterprise.{enterprise}.{number}", hexadecimal
