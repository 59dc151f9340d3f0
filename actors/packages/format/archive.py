"""Zip files that are the same bytes wherever and whenever they are written, and a reader that takes nothing else.

Members are stored and not compressed: no library's version shows in the bytes, and nothing unfolds when it is read. The
reader goes from the first byte to the last, by the sizes that stand before each member, and holds the directory at the
end against what it has found. A file that it takes is, byte for byte, what `write` makes of the members. Whatever else
a zip file can be is refused with a reason (PKWARE's APPNOTE 6.3.10 has the format).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format.manifest import MAX_FILES, MAX_MEMBER_BYTES
from promptforge.actors.packages.format.names import path_fault

MAX_PACKAGE_BYTES = 16 * 1024 * 1024
MAX_MEMBERS = MAX_FILES + 2
"""The manifest and its signature besides the files."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_NEEDED = 10
_MADE_BY = 3 << 8 | _NEEDED
"""On Unix, by version 1.0 of the format."""
_FIRST_DAY = 0x21
"""1980-01-01, the first day that a zip file can name."""
_PLAIN_FILE = 0o100644 << 16
_KINDS, _LINK, _FOLDER = 0o170000, 0o120000, 0o040000
_ENCRYPTED, _SIZE_AFTERWARDS = 0x1, 0x8
_BEYOND_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    path: str
    data: bytes


def write(members: Iterable[Member]) -> bytes:
    """The zip file of these members, in this order. Their paths are plain ASCII."""
    body, directory, count = bytearray(), bytearray(), 0
    for member in members:
        name, checksum, size = member.path.encode("ascii"), zlib.crc32(member.data), len(member.data)
        directory += _CENTRAL.pack(
            *(_CENTRAL_MARK, _MADE_BY, _NEEDED, 0, 0, 0, _FIRST_DAY, checksum, size, size),
            *(len(name), 0, 0, 0, 0, _PLAIN_FILE, len(body)),
        )
        directory += name
        body += _LOCAL.pack(
            *(_LOCAL_MARK, _NEEDED, 0, 0, 0, _FIRST_DAY, checksum, size, size),
            *(len(name), 0),
        )
        body += name
        body += member.data
        count += 1
    end = _END.pack(_END_MARK, 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body) + bytes(directory) + end


def read(data: bytes) -> tuple[Member, ...]:
    """The members, in their order. Raises `PackageRefused`."""
    if len(data) > MAX_PACKAGE_BYTES:
        raise PackageRefused("package_too_large", f"A package has at most {MAX_PACKAGE_BYTES:,} bytes")
    if not data.startswith(_LOCAL_MARK):
        raise PackageRefused("not_a_package", "The file does not begin as a zip file does")
    members: list[Member] = []
    seen: set[str] = set()
    position = 0
    while data.startswith(_LOCAL_MARK, position):
        if len(members) == MAX_MEMBERS:
            raise PackageRefused("too_many_members", f"A package has at most {MAX_MEMBERS} members")
        member, position = _member(data, position)
        if member.path.lower() in seen:
            raise PackageRefused("duplicate_name", f"Two members are called {member.path!r}, apart from case")
        seen.add(member.path.lower())
        members.append(member)
    _check_directory(data, position, members)
    if write(members) != data:
        raise PackageRefused("not_canonical", "The file holds more than its members, or says it in another way")
    return tuple(members)


def _member(data: bytes, position: int) -> tuple[Member, int]:
    """The member whose header begins here, and where it ends."""
    start = position + _LOCAL.size
    if start > len(data):
        raise _truncated()
    _, _, flags, method, _, _, checksum, packed, size, name_bytes, extra_bytes = _LOCAL.unpack_from(data, position)
    path = _path(data[start : start + name_bytes])
    if flags & _ENCRYPTED:
        raise PackageRefused("encrypted_member", f"{path!r} is encrypted")
    if method != 0:
        raise PackageRefused("compressed_member", f"{path!r} is compressed: members of a package are stored")
    if flags & _SIZE_AFTERWARDS:
        raise PackageRefused("not_canonical", f"The size of {path!r} stands behind it")
    if _BEYOND_32_BITS in (size, packed) or size > MAX_MEMBER_BYTES or packed > MAX_MEMBER_BYTES:
        raise PackageRefused("member_too_large", f"{path!r} has more than {MAX_MEMBER_BYTES:,} bytes")
    if size != packed:
        raise PackageRefused("not_canonical", f"{path!r} is said to unfold to another size")
    start += name_bytes + extra_bytes
    content = data[start : start + size]
    if len(content) < size:
        raise _truncated()
    if zlib.crc32(content) != checksum:
        raise PackageRefused("bad_checksum", f"{path!r} does not have its checksum")
    return Member(path, content), start + size


def _path(raw: bytes) -> str:
    path = raw.decode("ascii", "backslashreplace")
    fault = path_fault(path) if raw.isascii() else "has other characters than plain ASCII"
    if fault is not None:
        raise PackageRefused("unsafe_name", f"The name {path[:60]!r} {fault}")
    return path


def _check_directory(data: bytes, position: int, members: list[Member]) -> None:
    """That the directory names exactly these members, as plain files; the rest is seen byte by byte."""
    for member in members:
        if not data.startswith(_CENTRAL_MARK, position):
            raise PackageRefused("directory_mismatch", "The directory does not name all that is in the file")
        if position + _CENTRAL.size > len(data):
            raise _truncated()
        fields = _CENTRAL.unpack_from(data, position)
        name_bytes, extra_bytes, comment_bytes, attributes = *fields[10:13], fields[15]
        kind = attributes >> 16 & _KINDS
        if kind == _LINK:
            raise PackageRefused("link_member", f"{member.path!r} is a link")
        if kind == _FOLDER:
            raise PackageRefused("unsafe_name", f"{member.path!r} is a folder")
        start = position + _CENTRAL.size
        if data[start : start + name_bytes] != member.path.encode("ascii"):
            raise PackageRefused("directory_mismatch", f"The directory has another name for {member.path!r}")
        position = start + name_bytes + extra_bytes + comment_bytes
    if data.startswith(_CENTRAL_MARK, position):
        raise PackageRefused("directory_mismatch", "The directory names what is not in the file")
    if not data.startswith(_END_MARK, position) or len(data) < position + _END.size:
        raise (
            _truncated()
            if len(data) < position + _END.size
            else PackageRefused("extra_data", "Something stands between")
        )
    if len(data) > position + _END.size:
        raise PackageRefused("extra_data", "Something stands behind the end of the zip file")


def _truncated() -> PackageRefused:
    return PackageRefused("truncated", "The file ends too early")
