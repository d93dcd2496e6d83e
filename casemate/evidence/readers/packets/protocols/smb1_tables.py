"""SMB1 messages as a native table, and the names of commands and answers.

Definition: MS-CIFS and MS-SMB.  One row for each message with the fields of its header and, of transactions, writes
and session set-ups, those of its parameters: what signatures of misuse of the protocol need.  Numbers are decimal
text, ``status`` and ``code`` hexadecimal.
"""

from __future__ import annotations

from casemate.schema.native import NativeTable

SMB1_MESSAGE = NativeTable(
    "smb1_message",
    (
        *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"),
        *(
            "is_orig",
            "command",
            "code",
            "status",
            "signature",
            "header_flags",
            "flags2",
            "tree_id",
            "process_id",
            "user_id",
        ),
        *("multiplex_id", "word_count", "byte_count", "message_bytes"),
        *("subcommand", "name", "timeout", "total_parameters", "total_data", "max_parameters", "max_data"),
        *("parameters", "parameter_displacement", "data", "data_displacement", "fea_size", "fea_well_formed"),
        *("fid", "offset_low", "write_mode", "remaining", "capabilities", "security_blob", "buffer_size"),
        *("announced", "delivered", "content", "share", "packets", "data_digest", "head_digest"),
    ),
    "SMB1 messages in packet captures, one row each, and messages of SMB connections that were announced and never "
    "sent whole (command `unfinished`).",
)

COMMANDS = {
    0x00: "CREATE_DIRECTORY", 0x01: "DELETE_DIRECTORY", 0x02: "OPEN", 0x03: "CREATE", 0x04: "CLOSE", 0x05: "FLUSH",
    0x06: "DELETE", 0x07: "RENAME", 0x08: "QUERY_INFORMATION", 0x09: "SET_INFORMATION", 0x0A: "READ", 0x0B: "WRITE",
    0x0C: "LOCK_BYTE_RANGE", 0x0D: "UNLOCK_BYTE_RANGE", 0x0E: "CREATE_TEMPORARY", 0x0F: "CREATE_NEW",
    0x10: "CHECK_DIRECTORY", 0x11: "PROCESS_EXIT", 0x12: "SEEK", 0x13: "LOCK_AND_READ", 0x14: "WRITE_AND_UNLOCK",
    0x1A: "READ_RAW", 0x1D: "WRITE_RAW", 0x22: "SET_INFORMATION2", 0x23: "QUERY_INFORMATION2", 0x24: "LOCKING_ANDX",
    0x25: "TRANSACTION", 0x26: "TRANSACTION_SECONDARY", 0x27: "IOCTL", 0x2B: "ECHO", 0x2C: "WRITE_AND_CLOSE",
    0x2D: "OPEN_ANDX", 0x2E: "READ_ANDX", 0x2F: "WRITE_ANDX", 0x32: "TRANSACTION2", 0x33: "TRANSACTION2_SECONDARY",
    0x34: "FIND_CLOSE2", 0x71: "TREE_DISCONNECT", 0x72: "NEGOTIATE", 0x73: "SESSION_SETUP_ANDX", 0x74: "LOGOFF_ANDX",
    0x75: "TREE_CONNECT_ANDX", 0x80: "QUERY_INFORMATION_DISK", 0x81: "SEARCH", 0xA0: "NT_TRANSACT",
    0xA1: "NT_TRANSACT_SECONDARY", 0xA2: "NT_CREATE_ANDX", 0xA4: "NT_CANCEL", 0xA5: "NT_RENAME",
}  # fmt: skip
COMMANDS2 = (
    *("NEGOTIATE_PROTOCOL", "SESSION_SETUP", "LOGOFF", "TREE_CONNECT", "TREE_DISCONNECT", "CREATE", "CLOSE", "FLUSH"),
    *("READ", "WRITE", "LOCK", "IOCTL", "CANCEL", "ECHO", "QUERY_DIRECTORY", "CHANGE_NOTIFY", "QUERY_INFO"),
    *("SET_INFO", "OPLOCK_BREAK"),
)
STATUSES = {
    0x00000000: "SUCCESS", 0x00000103: "PENDING", 0x80000005: "BUFFER_OVERFLOW", 0x80000006: "NO_MORE_FILES",
    0xC0000002: "NOT_IMPLEMENTED", 0xC0000008: "INVALID_HANDLE", 0xC000000D: "INVALID_PARAMETER",
    0xC000000F: "NO_SUCH_FILE", 0xC0000011: "END_OF_FILE", 0xC0000016: "MORE_PROCESSING_REQUIRED",
    0xC0000022: "ACCESS_DENIED", 0xC0000033: "OBJECT_NAME_INVALID", 0xC0000034: "OBJECT_NAME_NOT_FOUND",
    0xC0000035: "OBJECT_NAME_COLLISION", 0xC000003A: "OBJECT_PATH_NOT_FOUND", 0xC0000043: "SHARING_VIOLATION",
    0xC000006A: "WRONG_PASSWORD", 0xC000006D: "LOGON_FAILURE", 0xC000006E: "ACCOUNT_RESTRICTION",
    0xC0000071: "PASSWORD_EXPIRED", 0xC0000072: "ACCOUNT_DISABLED", 0xC00000AC: "PIPE_NOT_AVAILABLE",
    0xC00000B5: "IO_TIMEOUT", 0xC00000BA: "FILE_IS_A_DIRECTORY", 0xC00000BB: "NOT_SUPPORTED",
    0xC00000CC: "BAD_NETWORK_NAME", 0xC0000120: "CANCELLED", 0xC0000128: "FILE_CLOSED",
    0xC0000203: "USER_SESSION_DELETED", 0xC0000205: "INSUFF_SERVER_RESOURCES", 0xC0000225: "NOT_FOUND",
    0xC0000234: "ACCOUNT_LOCKED_OUT", 0xC000035C: "NETWORK_SESSION_EXPIRED", 0xC0000257: "PATH_NOT_COVERED",
}  # fmt: skip


def status_name(status: int) -> str:
    """The name of an NTSTATUS (MS-ERREF 2.3.1), or its number."""
    return STATUSES.get(status, f"0x{status:08x}")
