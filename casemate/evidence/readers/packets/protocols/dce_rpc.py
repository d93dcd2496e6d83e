"""DCE/RPC calls (DCE 1.1: Remote Procedure Call, C706, chapter 12; MS-RPCE) into ``zeek_dce_rpc``.

Over TCP of their own and over named pipes of SMB.  Interfaces are named where they are well known, else by their
UUID; operations by name where rules ask for the name, else ``opnum N``.  Names are those of the documents MS-*.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping

from casemate.evidence.readers.packets.protocols.base import MALFORMED, Analyzer, Buffered
from casemate.evidence.readers.packets.protocols.ntlm import AUTHENTICATE, CHALLENGE, find_ntlm
from casemate.evidence.readers.packets.streams import Ref

REQUEST, RESPONSE, FAULT, BIND, BIND_ACK, ALTER, ALTER_RESPONSE, AUTH3 = 0, 2, 3, 11, 12, 14, 15, 16
FIRST_FRAGMENT = 1
LIMIT_CALLS, LIMIT_CONTEXTS = 512, 256

INTERFACES = {
    "e1af8308-5d1f-11c9-91a4-08002b14a0fa": "epmapper", "12345778-1234-abcd-ef00-0123456789ab": "lsarpc",
    "12345778-1234-abcd-ef00-0123456789ac": "samr", "12345678-1234-abcd-ef00-01234567cffb": "netlogon",
    "367abb81-9844-35f1-ad32-98f038001003": "svcctl", "4b324fc8-1670-01d3-1278-5a47bf6ee188": "srvsvc",
    "6bffd098-a112-3610-9833-46c3f87e345a": "wkssvc", "338cd001-2244-31f1-aaaa-900038001003": "winreg",
    "1ff70682-0a51-30e8-076d-740be8cee98b": "atsvc", "86d35949-83c9-4044-b424-db363231fd0c": "ITaskSchedulerService",
    "378e52b0-c0a9-11cf-822d-00aa0051e40f": "sasec", "e3514235-4b06-11d1-ab04-00c04fc2dcd2": "drsuapi",
    "12345678-1234-abcd-ef00-0123456789ab": "spoolss", "76f03f96-cdfd-44fc-a22c-64950a001209": "IRemoteWinspool",
    "c681d488-d850-11d0-8c52-00c04fd90f7e": "efsrpc", "df1941c5-fe89-4e79-bf10-463657acf44d": "efsrpc",
    "82273fdc-e32a-18c3-3f78-827929dc23ea": "eventlog", "f6beaff7-1e19-4fbb-9f8f-b89e2018337c": "eventlog6",
    "99fcfec4-5260-101b-bbcb-00aa0021347a": "IObjectExporter", "000001a0-0000-0000-c000-000000000046":
    "IRemoteSCMActivator", "4d9f4ab8-7d1c-11cf-861e-0020af6e7c57": "IRemoteActivation",
    "00000131-0000-0000-c000-000000000046": "IRemUnknown", "00000143-0000-0000-c000-000000000046": "IRemUnknown2",
    "f309ad18-d86a-11d0-a075-00c04fb68820": "IWbemLevel1Login", "9556dc99-828c-11cf-a37e-00aa003240c7":
    "IWbemServices", "d4781cd6-e5d3-44df-ad94-930efe48a887": "IWbemLoginClientID",
    "afa8bd80-7d8a-11c9-bef4-08002b102989": "mgmt", "4fc742e0-4a10-11cf-8273-00aa004ae673": "netdfs",
    "a8e0653c-2744-4389-a61d-7373df8b2292": "FssagentRpc", "3919286a-b10c-11d0-9ba8-00c04fd92ef5": "dssetup",
    "50abc2a4-574d-40b3-9d66-ee4fd5fba076": "dnsserver", "ae33069b-a2a8-46ee-a235-ddfd339be281": "IRPCRemoteObject",
    "0b6edbfa-4a24-4fc6-8a23-942b1eca65d1": "IRPCAsyncNotify", "8a885d04-1ceb-11c9-9fe8-08002b104860": "NDR",
    "ecec0d70-a603-11d0-96b1-00a0c91ece30": "backup", "22e5386d-8b12-4bf0-b0ec-6a1ea419e366": "NetEventForwarder",
}  # fmt: skip
OPERATIONS: dict[str, dict[int, str]] = {
    "epmapper": {2: "ept_lookup", 3: "ept_map"},
    "svcctl": {
        0: "CloseServiceHandle", 1: "ControlService", 2: "DeleteService", 6: "QueryServiceStatus",
        11: "ChangeServiceConfigW", 12: "CreateServiceW", 14: "EnumServicesStatusW", 15: "OpenSCManagerW",
        16: "OpenServiceW", 17: "QueryServiceConfigW", 19: "StartServiceW", 24: "CreateServiceA", 27: "OpenSCManagerA",
        28: "OpenServiceA", 31: "StartServiceA", 37: "ChangeServiceConfig2W", 42: "EnumServicesStatusExW",
        44: "CreateServiceWOW64A", 45: "CreateServiceWOW64W", 60: "CreateWowService", 64: "OpenSCManager2",
    },
    "drsuapi": {
        0: "DRSBind", 1: "DRSUnbind", 2: "DRSReplicaSync", 3: "DRSGetNCChanges", 4: "DRSUpdateRefs",
        5: "DRSReplicaAdd", 6: "DRSReplicaDel", 12: "DRSCrackNames", 16: "DRSDomainControllerInfo",
        17: "DRSAddEntry",
    },
    "netlogon": {
        2: "NetrLogonSamLogon", 3: "NetrLogonSamLogoff", 4: "NetrServerReqChallenge", 5: "NetrServerAuthenticate",
        6: "NetrServerPasswordSet", 15: "NetrServerAuthenticate2", 21: "NetrLogonGetCapabilities",
        26: "NetrServerAuthenticate3", 29: "NetrLogonGetDomainInfo", 30: "NetrServerPasswordSet2",
        34: "DsrGetDcNameEx2", 39: "NetrLogonSamLogonEx", 40: "DsrEnumerateDomainTrusts",
        45: "NetrLogonSamLogonWithFlags",
    },
    "samr": {
        0: "SamrConnect", 1: "SamrCloseHandle", 5: "SamrLookupDomainInSamServer", 6: "SamrEnumerateDomainsInSamServer",
        7: "SamrOpenDomain", 11: "SamrEnumerateGroupsInDomain", 13: "SamrEnumerateUsersInDomain",
        15: "SamrEnumerateAliasesInDomain", 17: "SamrLookupNamesInDomain", 18: "SamrLookupIdsInDomain",
        19: "SamrOpenGroup", 25: "SamrGetMembersInGroup", 27: "SamrOpenAlias", 33: "SamrGetMembersInAlias",
        34: "SamrOpenUser", 36: "SamrQueryInformationUser", 37: "SamrSetInformationUser",
        39: "SamrGetGroupsForUser", 40: "SamrQueryDisplayInformation", 50: "SamrCreateUser2InDomain",
        55: "SamrUnicodeChangePasswordUser2", 57: "SamrConnect2", 58: "SamrSetInformationUser2", 62: "SamrConnect4",
        64: "SamrConnect5",
    },
    "lsarpc": {
        0: "LsarClose", 6: "LsarOpenPolicy", 7: "LsarQueryInformationPolicy", 14: "LsarLookupNames",
        15: "LsarLookupSids", 42: "LsarRetrievePrivateData", 44: "LsarOpenPolicy2", 45: "LsarGetUserName",
        46: "LsarQueryInformationPolicy2", 57: "LsarLookupSids2", 58: "LsarLookupNames2", 68: "LsarLookupNames3",
        76: "LsarLookupSids3", 77: "LsarLookupNames4",
    },
    "srvsvc": {
        8: "NetrConnectionEnum", 9: "NetrFileEnum", 12: "NetrSessionEnum", 14: "NetrShareAdd", 15: "NetrShareEnum",
        16: "NetrShareGetInfo", 18: "NetrShareDel", 19: "NetrShareDelSticky", 21: "NetrServerGetInfo",
        28: "NetrRemoteTOD",
    },
    "wkssvc": {0: "NetrWkstaGetInfo", 2: "NetrWkstaUserEnum", 22: "NetrJoinDomain2"},
    "atsvc": {0: "NetrJobAdd", 1: "NetrJobDel", 2: "NetrJobEnum", 3: "NetrJobGetInfo"},
    "ITaskSchedulerService": {
        0: "SchRpcHighestVersion", 1: "SchRpcRegisterTask", 2: "SchRpcRetrieveTask", 3: "SchRpcCreateFolder",
        4: "SchRpcSetSecurity", 6: "SchRpcEnumFolders", 7: "SchRpcEnumTasks", 8: "SchRpcEnumInstances",
        12: "SchRpcRun", 13: "SchRpcDelete", 14: "SchRpcRename", 19: "SchRpcEnableTask",
    },
    "winreg": {
        2: "OpenLocalMachine", 4: "OpenUsers", 5: "BaseRegCloseKey", 6: "BaseRegCreateKey", 7: "BaseRegDeleteKey",
        8: "BaseRegDeleteValue", 9: "BaseRegEnumKey", 10: "BaseRegEnumValue", 13: "BaseRegLoadKey",
        15: "BaseRegOpenKey", 16: "BaseRegQueryInfoKey", 17: "BaseRegQueryValue", 19: "BaseRegRestoreKey",
        20: "BaseRegSaveKey", 22: "BaseRegSetValue", 26: "BaseRegGetVersion", 31: "BaseRegSaveKeyEx",
    },
    "spoolss": {
        1: "RpcOpenPrinter", 10: "RpcEnumPrinterDrivers", 26: "RpcGetPrinterDriverDirectory", 29: "RpcClosePrinter",
        65: "RpcRemoteFindFirstPrinterChangeNotificationEx", 69: "RpcOpenPrinterEx", 89: "RpcAddPrinterDriverEx",
    },
    "efsrpc": {
        0: "EfsRpcOpenFileRaw", 4: "EfsRpcEncryptFileSrv", 5: "EfsRpcDecryptFileSrv", 6: "EfsRpcQueryUsersOnFile",
        7: "EfsRpcQueryRecoveryAgents", 8: "EfsRpcRemoveUsersFromFile", 9: "EfsRpcAddUsersToFile",
        12: "EfsRpcFileKeyInfo", 13: "EfsRpcDuplicateEncryptionInfoFile", 15: "EfsRpcAddUsersToFileEx",
    },
    "netdfs": {12: "NetrDfsAddStdRoot", 13: "NetrDfsRemoveStdRoot"},
    "IRemoteSCMActivator": {3: "RemoteGetClassObject", 4: "RemoteCreateInstance"},
    "IObjectExporter": {0: "ResolveOxid", 4: "ResolveOxid2", 5: "ServerAlive2"},
    "IWbemServices": {20: "ExecQuery", 22: "ExecNotificationQuery", 24: "ExecMethod", 25: "ExecMethodAsync"},
    "IWbemLevel1Login": {3: "EstablishPosition", 6: "NTLMLogin"},
    "IRemUnknown2": {3: "RemQueryInterface", 4: "RemAddRef", 5: "RemRelease"},
    "FssagentRpc": {8: "IsPathSupported", 9: "IsPathShadowCopied"},
}  # fmt: skip


def looks_like_dce_rpc(data: bytes) -> bool:
    """Whether bytes begin a connection-oriented PDU of version 5."""
    if len(data) < 16 or data[0] != 5 or data[1] > 1 or data[2] > 19:
        return False
    order = "<" if data[4] & 0x10 else ">"
    return data[4] & 0xEF == 0 and struct.unpack_from(order + "H", data, 8)[0] >= 16


class Calls:
    """The calls of one association, whatever carries them.

    Args:
        give: takes the packet and the values of one ``zeek_dce_rpc`` row.
        logon: takes the packet and the values of one ``zeek_ntlm`` row.
    """

    def __init__(
        self, give: Callable[[Ref, dict[str, str | None]], None], logon: Callable[[Ref, dict[str, str | None]], None]
    ) -> None:
        self.give, self.logon = give, logon
        self.contexts: dict[int, str] = {}
        self.calls: dict[int, tuple[Ref, dict[str, str | None]]] = {}
        self.server: dict[str, str | None] = {}

    def pdu(self, data: bytes, ref: Ref) -> None:
        """One PDU."""
        order = "<" if data[4] & 0x10 else ">"
        kind, flags = data[2], data[3]
        trailer = struct.unpack_from(order + "H", data, 10)[0]
        call = struct.unpack_from(order + "I", data, 12)[0]
        if kind in (BIND, ALTER):
            at = 28
            for _ in range(min(data[24], LIMIT_CONTEXTS)):
                context, transfers = struct.unpack_from(order + "HB", data, at)
                packed = data[at + 4 : at + 20]
                name = str(uuid.UUID(bytes_le=packed) if order == "<" else uuid.UUID(bytes=packed))
                if len(self.contexts) < LIMIT_CONTEXTS:
                    self.contexts[context] = INTERFACES.get(name, name)
                at += 24 + 20 * transfers
        elif kind == REQUEST and flags & FIRST_FRAGMENT:
            context, number = struct.unpack_from(order + "HH", data, 20)
            endpoint = self.contexts.get(context)
            operation = OPERATIONS.get(endpoint or "", {}).get(number, f"opnum {number}")
            if len(self.calls) >= LIMIT_CALLS:
                self.finish()
            self.calls[call] = (ref, {"endpoint": endpoint, "operation": operation})
        elif kind in (RESPONSE, FAULT) and call in self.calls:
            begun, values = self.calls.pop(call)
            if begun.time is not None and ref.time is not None and ref.time >= begun.time:
                values["rtt"] = f"{(ref.time - begun.time) / 1e6:.6f}"
            self.give(begun, values)
        if trailer and kind in (BIND, BIND_ACK, ALTER, ALTER_RESPONSE, AUTH3):
            found = find_ntlm(data[-trailer:])
            if found is not None and found.kind == CHALLENGE:
                self.server = found.values
            elif found is not None and found.kind == AUTHENTICATE:
                self.logon(ref, {**self.server, **found.values})

    def finish(self) -> None:
        """Calls that were not answered."""
        for begun, values in self.calls.values():
            self.give(begun, values)
        self.calls.clear()


class Pipe:
    """The bytes of one named pipe, cut into PDUs; a PDU may span several writes or reads."""

    __slots__ = ("buffers", "calls")

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.buffers = (Buffered(), Buffered())

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        """Bytes written to (by the client) or read from the pipe."""
        buffer = self.buffers[not originator]
        if not buffer and not looks_like_dce_rpc(data):
            return
        buffer.add(data, ref)
        while len(buffer) >= 16:
            order = "<" if buffer.data[4] & 0x10 else ">"
            size = struct.unpack_from(order + "H", buffer.data, 8)[0]
            if size < 16 or buffer.data[0] != 5:
                buffer.clear()
                return
            if len(buffer) < size:
                return
            at = buffer.ref()
            try:
                self.calls.pdu(buffer.take(size), at)
            except MALFORMED:
                continue


class DceRpc(Analyzer):
    """DCE/RPC over a TCP connection of its own."""

    service = "dce_rpc"

    def __init__(self, common, emit, named) -> None:
        super().__init__(common, emit, named)
        self.pipe = Pipe(Calls(self._give, self._logon))

    def data(self, originator: bool, data: bytes, ref: Ref) -> None:
        self.named("dce_rpc")
        self.pipe.data(originator, data, ref)

    def gap(self, originator: bool, size: int, ref: Ref) -> None:
        self.pipe.buffers[not originator].clear()

    def held(self) -> int:
        return sum(map(len, self.pipe.buffers))

    def finish(self) -> None:
        self.pipe.calls.finish()

    def _give(self, ref: Ref, values: Mapping[str, str | None]) -> None:
        port = self.common["id.resp_p"]
        self.emit("zeek_dce_rpc", ref, {**self.common, "named_pipe": port, **values})

    def _logon(self, ref: Ref, values: Mapping[str, str | None]) -> None:
        self.named("ntlm")
        self.emit("zeek_ntlm", ref, {**self.common, **values})
