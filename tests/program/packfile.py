"""Where the frames of a pack are, by the table at its end: zstd's seekable format, see docs/packs.md."""
import struct

FOOTER_BYTES, ENTRY_BYTES = 9, 8


def frame_sizes(data):
    """How many bytes each frame takes in a pack, the table's own left out."""
    count = struct.unpack_from('<I', data, len(data) - FOOTER_BYTES)[0]
    table = data[-FOOTER_BYTES - ENTRY_BYTES * count:-FOOTER_BYTES]
    return [stored for stored, _ in struct.iter_unpack('<II', table)]
