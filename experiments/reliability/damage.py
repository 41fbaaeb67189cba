"""Ways in which a file of arrays comes to harm: every region of an ``.npz`` archive, and the file as a whole."""

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator

Damage = Callable[[bytes, random.Random], bytes]

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def regions(content: bytes) -> dict[str, list[range]]:
    """Return where the parts of an archive lie, by name: headers, names, the numbers of each kind of member."""
    found: dict[str, list[range]] = {"central directory": [], "end record": [], "comment": []}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            start = member.header_offset
            name, extra = struct.unpack("<HH", content[start + 26 : start + 30])
            data = start + 30 + name + extra
            kind = member.filename.split("/")[0].removesuffix(".npy")
            found.setdefault("local headers", []).append(range(start, start + 30))
            found.setdefault("member names", []).append(range(start + 30, start + 30 + name))
            found.setdefault("array headers", []).append(range(data, data + 128))
            found.setdefault(f"numbers of {kind}", []).append(range(data + 128, data + member.compress_size))
        directory, end = archive.start_dir, content.rindex(END)
    found["central directory"] = [range(directory, end)]
    found["end record"] = [range(end, end + 22)]
    found["comment"] = [range(end + 22, len(content))]
    return {name: [part for part in parts if len(part)] for name, parts in found.items() if any(parts)}


def flipped(where: str, bits: int) -> Damage:
    """Return a damage that flips so many bits in one region."""

    def damage(content: bytes, draw: random.Random) -> bytes:
        broken = bytearray(content)
        places = [place for part in regions(content)[where] for place in part]
        for place in draw.sample(places, min(bits, len(places))):
            broken[place] ^= 1 << draw.randrange(8)
        return bytes(broken)

    return damage


def overwritten(where: str) -> Damage:
    """Return a damage that writes random bytes over a run of bytes in one region."""

    def damage(content: bytes, draw: random.Random) -> bytes:
        part = draw.choice(regions(content)[where])
        start = draw.choice(part)
        length = min(draw.choice((1, 2, 4, 8, 64, 512)), part.stop - start)
        return content[:start] + draw.randbytes(length) + content[start + length :]

    return damage


def truncated(content: bytes, draw: random.Random) -> bytes:
    """Return the beginning of the file, of any length from none to all but a byte."""
    return content[: draw.choice((draw.randrange(len(content)), len(content) - draw.randrange(1, 200)))]


def beheaded(content: bytes, draw: random.Random) -> bytes:
    """Return the end of the file."""
    return content[draw.randrange(1, len(content)) :]


def lengthened(content: bytes, draw: random.Random) -> bytes:
    """Return the file with something behind it, or in front of it."""
    more = draw.choice((b"\0", b"\n", draw.randbytes(draw.randrange(1, 5000)), content))
    return content + more if draw.random() < 0.5 else more + content


def zeroed(content: bytes, draw: random.Random) -> bytes:
    """Return the file with a run of zeros, as a disk leaves it that lost a block."""
    size = draw.choice((1, 16, 512, 4096, len(content)))
    start = draw.randrange(len(content)) // size * size
    return content[:start] + b"\0" * min(size, len(content) - start) + content[start + size :]


def exchanged(content: bytes, draw: random.Random) -> bytes:
    """Return the file with two blocks in each other's place."""
    size = draw.choice((16, 64, 512))
    one, other = sorted(place * size for place in draw.sample(range(len(content) // size), 2))
    return (
        content[:one]
        + content[other : other + size]
        + content[one + size : other]
        + content[one : one + size]
        + content[other + size :]
    )


def rebuilt(change: Callable[[dict[str, bytes], random.Random], None], keep_comment: bool) -> Damage:
    """Return a damage that changes members and writes a valid archive of them, with right checksums."""

    def damage(content: bytes, draw: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members, comment = {name: archive.read(name) for name in archive.namelist()}, archive.comment
        change(members, draw)
        with io.BytesIO() as file:
            with zipfile.ZipFile(
                file, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            ) as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
                archive.comment = comment if keep_comment else b""
            return file.getvalue()

    return damage


def swapped(members: dict[str, bytes], draw: random.Random) -> None:
    """Give two members each other's content."""
    one, other = draw.sample(sorted(members), 2)
    members[one], members[other] = members[other], members[one]


def dropped(members: dict[str, bytes], draw: random.Random) -> None:
    """Leave a member out."""
    del members[draw.choice(sorted(members))]


def renamed(members: dict[str, bytes], draw: random.Random) -> None:
    """Change a letter of a member's name."""
    name = draw.choice(sorted(members))
    place = draw.randrange(len(name))
    members[name[:place] + chr(ord(name[place]) ^ 1 << draw.randrange(5)) + name[place + 1 :]] = members.pop(
        name
    )


def edited(members: dict[str, bytes], draw: random.Random) -> None:
    """Change bytes of a member: the JSON of the head, a shape, a dtype, a number."""
    name = draw.choice(sorted(members))
    data = bytearray(members[name])
    for _ in range(draw.choice((1, 1, 3))):
        place = draw.choice((draw.randrange(len(data)), draw.randrange(min(128, len(data)))))
        data[place] ^= 1 << draw.randrange(8)
    members[name] = bytes(data)


def enlarged(members: dict[str, bytes], draw: random.Random) -> None:
    """Have an array claim a shape that no memory holds."""
    name = draw.choice(sorted(members))
    shape = draw.choice(("(9000000000000000000,)", "(-1,)", "(1099511627776, 1099511627776)", "(" * 60))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    members[name] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 16


def claimed(content: bytes, draw: random.Random) -> bytes:
    """Return the file with another compression method, flag, size or offset in its directory or a header."""
    broken = bytearray(content)
    signature, fields = draw.choice(
        (
            (LOCAL, (4, 6, 8, 14, 18, 22, 26, 28)),
            (CENTRAL, (6, 8, 10, 16, 20, 24, 28, 30, 32, 42)),
            (END, (8, 10, 12, 16, 20)),
        )
    )
    starts = [place for place in range(len(content) - 4) if content.startswith(signature, place)]
    place = draw.choice(starts) + draw.choice(fields)
    value = draw.choice((0, 1, 8, 12, 14, 93, 99, 255, 0xFFFF, draw.randrange(0xFFFF)))
    broken[place : place + 2] = struct.pack("<H", value)
    return bytes(broken)


def kinds(content: bytes) -> Iterator[tuple[str, Damage]]:
    """Yield every kind of damage by name."""
    for where in regions(content):
        yield f"one bit, {where}", flipped(where, 1)
        yield f"bits, {where}", flipped(where, 9)
        yield f"bytes, {where}", overwritten(where)
    for damage in (truncated, beheaded, lengthened, zeroed, exchanged, claimed):
        yield damage.__name__, damage
    for change in (swapped, dropped, renamed, edited, enlarged):
        for keep_comment in (True, False):
            yield (
                f"archive with {change.__name__} members{'' if keep_comment else ', no comment'}",
                rebuilt(change, keep_comment),
            )
