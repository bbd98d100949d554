"""The file as a whole: a text and arrays, with a version and a checksum.

`docs/packed_format.md` says what each byte means.
"""

import zlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from keras_invprune.packing.arrays import (
    Array,
    Header,
    code_values,
    code_zeros,
    header_of,
    read_header,
    to_bytes,
    unsigned,
)
from keras_invprune.packing.coder import Decoder, Encoder
from keras_invprune.packing.dictionary import DICTIONARY
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.reader import Reader, varint

MAGIC = b"\x8bKIP"
VERSION = 1
KERAS, TFLITE = range(2)
KINDS = (KERAS, TFLITE)
LIMIT = 2**30  # bytes
MOST_ARRAYS = 2**14  # the header of each takes memory, even of an empty one
MOST_TEXT = 2**23  # bytes of a config; as Python's objects, it takes far more
RATIO = 2**11  # symbols that a bit can stand for at most
ORDER: Literal["little"] = "little"
RAW = -15  # deflate without a header
DAMAGED = "The file is damaged. Copy or download it again."


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        kind: KERAS or TFLITE.
        text: Any bytes.
        arrays: The arrays, in order.
    """

    kind: int
    text: bytes
    arrays: list[Array]


class Part(NamedTuple):
    """What an array takes in the file.

    Attributes:
        header: What the file says of it.
        header_bits: Bits of the header.
        mask_bits: Bits of the mask.
        value_bits: Bits of the values that are not zero.
    """

    header: Header
    header_bits: int
    mask_bits: float
    value_bits: float


class Written(NamedTuple):
    """A file, and what its parts take.

    Attributes:
        content: The bytes of the file.
        text_bytes: Size of the deflated text.
        parts: What each array takes.
    """

    content: bytes
    text_bytes: int
    parts: list[Part]


def write(contents: Contents) -> Written:
    """Return a file, and what its parts take.

    Args:
        contents: What to put into it.
    """
    encoder, parts, headers = Encoder(), [], []
    previous = np.zeros(0, np.int64)
    for array in contents.arrays:
        header = header_of(array, previous)
        headers.append(to_bytes(header))
        before = encoder.bits
        mask, previous = code_zeros(encoder, header, previous, array.bits)
        masked = encoder.bits
        code_values(encoder, header, array.bits[mask])
        bits = 8 * len(headers[-1]), masked - before, encoder.bits - masked
        parts.append(Part(header, *bits))
    packer = zlib.compressobj(9, wbits=RAW, memLevel=9, zdict=DICTIONARY)
    packed = packer.compress(contents.text) + packer.flush()
    content = b"".join(
        [
            MAGIC,
            bytes([VERSION, contents.kind]),
            *(varint(len(text)) for text in (contents.text, packed)),
            packed,
            varint(len(parts)),
            *headers,
            encoder.to_bytes(),
        ]
    )
    content += zlib.crc32(content).to_bytes(4, ORDER)
    return Written(content, len(packed), parts)


def read(content: bytes, limit: int = LIMIT) -> Contents:
    """Return what a file holds.

    Args:
        content: The file.
        limit: The most bytes that text and arrays may take.

    Raises:
        PackError: If it is not a packed file, was written by a later version, is
            truncated or damaged, or declares more than `limit`.
    """
    kind, packed, size, headers, stream = _opened(content, limit)
    text = _inflated(packed, size)
    try:
        return Contents(kind, text, _decoded(headers, stream))
    except ValueError as error:  # constriction's
        raise PackError(f"{DAMAGED} {error}") from error


def _opened(content: bytes, limit: int) -> tuple:
    """Return (kind, deflated text, its size, headers, stream) after all checks."""
    if content[: len(MAGIC)] != MAGIC:
        raise PackError(
            f"This is not a packed file: it begins with {content[:4]!r}, not with "
            f"{MAGIC!r}. Pass a file that `kip.pack` wrote."
        )
    checked = memoryview(content)[:-4]
    reader = Reader(checked)
    version, kind = reader.take(len(MAGIC) + 2)[len(MAGIC) :]
    if version != VERSION:
        raise PackError(
            f"This file has version {version} of the format, and only {VERSION} can "
            "be read. Update keras_invprune."
        )
    expected = int.from_bytes(content[-4:], ORDER)
    if (found := zlib.crc32(checked)) != expected:
        raise PackError(
            f"The file is truncated or damaged: its checksum is {found:08x}, and "
            f"should be {expected:08x}. Copy or download it again."
        )
    if kind not in KINDS:
        raise PackError(f"{DAMAGED} It is of the unknown kind {kind}.")
    size, packed = reader.varint(), reader.take(reader.varint())
    if kind == KERAS and size > MOST_TEXT:
        raise PackError(
            f"The config has {size:,} bytes, and at most {MOST_TEXT:,} can be packed. "
            "Large tables, such as vocabularies, do not belong in a config."
        )
    if (count := reader.varint()) > MOST_ARRAYS:
        raise PackError(
            f"The file has {count:,} arrays, and at most {MOST_ARRAYS:,} can be packed."
        )
    headers = [read_header(reader) for _ in range(count)]
    stream = reader.rest()
    _check_sizes(size, headers, stream, limit)
    return kind, packed, size, headers, stream


def _check_sizes(
    text: int, headers: Sequence[Header], stream: memoryview, limit: int
) -> None:
    """Raise if more is declared than allowed, or than the stream can hold."""
    declared = text + sum(
        header.size * unsigned(header.dtype).itemsize for header in headers
    )
    if declared > limit:
        raise PackError(
            f"The file declares {declared:,} bytes, and at most {limit:,} are read. If "
            f"you trust it, pass `limit={declared}`."
        )
    symbols = sum(header.symbols for header in headers)
    if len(stream) % 4 or symbols > RATIO * (8 * len(stream) + 64):
        raise PackError(
            f"{DAMAGED} It declares {symbols:,} symbols in {len(stream):,} bytes."
        )


def _inflated(packed: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj(RAW, zdict=DICTIONARY)
    try:
        text = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise PackError(f"{DAMAGED} Its text: {error}.") from error
    if len(text) != size or not inflater.eof or inflater.unused_data:
        raise PackError(f"{DAMAGED} Its text does not have {size:,} bytes.")
    return text


def _decoded(headers: Sequence[Header], stream: bytes) -> list[Array]:
    decoder, arrays = Decoder(stream), []
    previous = np.zeros(0, np.int64)
    for header in headers:
        mask, previous = code_zeros(decoder, header, previous)
        bits = np.zeros(header.shape, unsigned(header.dtype))
        bits[mask] = code_values(decoder, header)
        arrays.append(Array(header.dtype, bits))
    if not decoder.is_exhausted():
        raise PackError(f"{DAMAGED} Bytes are left after the last array.")
    return arrays
