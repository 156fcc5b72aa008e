# png.py - packs a PNG of a page smaller: text on flat ground packs best without filters. SPDX-License-Identifier: Apache-2.0
import struct
import zlib

CHANNELS = {2: 3, 6: 4}  # by colour type


def chunks_of(data):
    at = 8
    while at < len(data):
        size = struct.unpack(">I", data[at:at + 4])[0]
        yield data[at + 4:at + 8], data[at + 8:at + 8 + size]
        at += size + 12


def paeth(left, above, corner):
    """PNG, section 9.4: whichever is nearest to left + above - corner."""
    guess = left + above - corner
    distances = abs(guess - left), abs(guess - above), abs(guess - corner)
    return (left, above, corner)[distances.index(min(distances))]


def unfiltered(raw, width, height, step):
    size, above = width * step, bytes(width * step)
    for row in range(height):
        kind = raw[row * (size + 1)]
        line = bytearray(raw[row * (size + 1) + 1:(row + 1) * (size + 1)])
        for i in range(size if kind else 0):
            left, corner = (line[i - step], above[i - step]) if i >= step else (0, 0)
            guess = (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner) if kind == 4 else 0)[kind]
            line[i] = (line[i] + guess) & 255
        yield line
        above = line


def squeeze(path):
    with open(path, "rb") as file:
        data = file.read()
    chunks = list(chunks_of(data))
    width, height, depth, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    assert depth == 8
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    lines = unfiltered(raw, width, height, CHANNELS[colour])
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    others = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    with open(path, "wb") as file:
        file.write(data[:8])
        for kind, body in [*others[:-1], (b"IDAT", pixels), others[-1]]:
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
