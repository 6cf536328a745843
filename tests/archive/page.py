"""A reader written from docs/archive.md with the standard library alone; it imports no scpress."""

import json
import lzma
import struct
import zlib

LOW30 = (1 << 30) - 1


def read_sections(data):
    """[(kind, payload)] of a file, from its front; every checksum is asked for."""
    assert data[:12] == bytes.fromhex("89534350 0D0A1A0A 01000000")
    sections, at = [], 12
    while not sections or sections[-1][0] != "TABL":
        n = struct.unpack_from("<Q", data, at + 4)[0]
        end = at + 12 + n
        assert struct.unpack_from("<I", data, end)[0] == zlib.crc32(data[at:end])
        sections.append((data[at : at + 4].decode(), data[at + 12 : end]))
        table, at = at, end + 4
    assert data[at : at + 8] == struct.pack("<Q", table)
    assert data[at + 8 : at + 12] == struct.pack("<I", zlib.crc32(data[:12] + data[at : at + 8]))
    assert data[at + 12 :] == b"SCP end\n"
    return sections


def read_index(payload, head):
    """Columns of INDX: bytes, nonzeros, checksum of the bytes, checksum of the counts."""
    n_chunks = -(-head["n_obs"] // head["cells_per_chunk"])
    columns, at = [], 4
    for _ in range(4):
        width, at = payload[at], at + 1
        parts = [payload[at + i * width : at + (i + 1) * width] for i in range(n_chunks)]
        columns.append([int.from_bytes(part, "little") for part in parts])
        at += n_chunks * width
    assert at == len(payload)
    return columns


def read_files(payload):
    """Files of REST."""
    is_text, n_coded, n_head = struct.unpack_from("<BII", payload)
    at = 9 + n_coded
    head = (read_text if is_text else expand)(payload[9:at], n_head)
    listed, _, rest = head.partition(b"\n")
    directory = json.loads(listed)
    files, place = {}, 0
    for name, n in directory["joined"]:
        files[name] = rest[place : place + n]
        place += n
    for name, way, n_stored, n_plain in directory["own"]:
        files[name] = read_file(way, payload[at : at + n_stored], n_plain)
        at += n_stored
        assert len(files[name]) == n_plain
    return files


def read_file(way, stream, n):
    if way == "plain":
        return stream
    if way == "lzma":
        return expand(stream, n)
    if way.startswith("shuffle"):
        plain, k = expand(stream, n), int(way[7:])
        return b"".join(plain[i :: n // k] for i in range(n // k))
    if way == "count":
        word, first, width, n_texts = json.loads(stream)
        texts = [word + str(first + i).zfill(width) for i in range(n_texts)]
        texts = [text.encode() for text in texts]
    else:
        n_texts = int.from_bytes(stream[:4], "little")
        read = read_text if way == "text" else expand
        texts = read(stream[4:], n - 4 - 3 * n_texts).split(b"\n")[:-1]
    packed = [len(texts).to_bytes(4, "little")]
    return b"".join(packed + [len(text).to_bytes(4, "little") + text for text in texts])


def read_names(files, axis):
    """Names of an axis, "obs" or "var"."""
    data = files[f"{axis}/{json.loads(files[f'{axis}/.zattrs'])['_index']}/0"]
    names, at = [], 4
    while at < len(data):
        n = int.from_bytes(data[at : at + 4], "little")
        names.append(data[at + 4 : at + 4 + n].decode())
        at += 4 + n
    return names


def expand(data, n):
    plain = lzma.decompress(
        data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**23}]
    )
    assert len(plain) == n
    return plain


def make_tables():
    one = step = term = 1 << 62
    k = 1
    while term:
        term //= k * 256
        step += -term if k % 2 else term
        k += 1
    powers = [one]
    for _ in range(3072):
        powers.append(powers[-1] * step >> 62)
    chances = {
        d: ((one if d >= 0 else powers[-d]) << 16) // (one + powers[abs(d)])
        for d in range(-3072, 3073)
    }
    logs = [
        next((d for d in range(-3072, 3072) if chances[d] >= 16 * i + 8), 3072) for i in range(4096)
    ]
    return chances, logs


def read_text(coded, n):
    chances, logs = make_tables()
    b = min(22, max(10, (8 * n).bit_length()))
    slots, weights, recent, out = {}, {}, {}, bytearray()
    code, at, low, high = int.from_bytes(coded[:4], "big"), 4, 0, 2**32 - 1
    line = before = p = r = 0
    is_same = 1
    for i in range(n):
        if i and out[-1] == 10:
            before, line, p, is_same, r = line, i, 0, 1, 0
        c1, c2, c3, c4 = (out[-k] if i >= k else 0 for k in (1, 2, 3, 4))
        above = before + i - line
        over = out[above] if above < line else 10
        key = (p ^ p >> 15) & 65535
        e = out[recent.get(key, 0)] if i else 0
        recent[key] = i
        three = c1 + (c2 << 8) + (c3 << 16)
        contexts = [c1, c1 + (c2 << 8), three, three ^ 0x3D4D51CB * c4]
        contexts += [over + (is_same << 8) + (c1 << 9) + (min(i - line, 31) << 17)]
        contexts += [p, e + (min(r, 15) << 8)]
        node = 1
        for _ in range(8):
            places = []
            for k, context in enumerate(contexts):
                y = (context * 0x2F0B4C47 + 0x1B873593 * k & LOW30) + 0x2C1B3C6D * node & LOW30
                y = ((y ^ y >> 15) * 0x297A2D39 & (1 << 46) - 1) >> 13
                places.append((k, y & (1 << b) - 1))
            held = [slots.get(place, (1 << 21, 0)) for place in places]
            inputs = [logs[chance >> 10] for chance, _ in held]
            mine = weights.setdefault((is_same, min(r, 3), node), [20000] * 7)
            total = sum(w * x for w, x in zip(mine, inputs, strict=True)) >> 16
            chance = min(max(chances[min(max(total, -3072), 3072)], 24), 2**16 - 24)
            middle = low + (high - low >> 16) * chance
            bit = int(code <= middle)
            low, high = (low, middle) if bit else (middle + 1, high)
            while low >> 24 == high >> 24:
                code = (code << 8 & 0xFFFFFFFF) | (coded[at] if at < len(coded) else 0)
                low, high = low << 8 & 0xFFFFFFFF, (high << 8 & 0xFFFFFFFF) | 255
                at += 1
            for k, (old, seen) in enumerate(held):
                mine[k] += inputs[k] * ((bit << 16) - chance) + 8192 >> 14
                new = old + ((bit * (2**22 - 1) - old) * (2**17 // (2 * seen + 3)) >> 16)
                slots[places[k]] = new, min(seen + 1, 127)
            node = node * 2 + bit
        byte = node & 255
        out.append(byte)
        r = r + 1 if byte == e else 0
        is_same &= byte == over
        p = 0x2F0B4C47 * p + byte + 1 & LOW30
    return bytes(out)
