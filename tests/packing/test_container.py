"""Files without Keras: any arrays come back, and no file does harm."""

import math
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_invprune.packing import container, masks
from keras_invprune.packing.arrays import (
    BYTES,
    DTYPES,
    GRID,
    LIST,
    Array,
    header_of,
    unsigned,
)
from keras_invprune.packing.coder import Meter
from keras_invprune.packing.container import KERAS, TFLITE, Contents
from keras_invprune.packing.dictionary import DICTIONARY
from keras_invprune.packing.entropy import entropy_of
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.masks import Context, code_mask
from packed_format import decoder

NOTHING = np.zeros(0, np.int64)


def bits_of(values, dtype="float32"):
    values = np.ascontiguousarray(values)
    return Array(dtype, values.view(unsigned(dtype)))


def sparse(*shape, density=0.1, seed=0):
    random = np.random.default_rng(seed)
    values = random.normal(size=shape).astype("float32")
    return values * (random.random(shape) < density) + np.float32(0)


@st.composite
def arrays(draw):
    """An array of any dtype, shape and density, of any bits or of few levels."""
    dtype = draw(st.sampled_from(DTYPES))
    kind = unsigned(dtype)
    shape = draw(st.lists(st.integers(0, 20), max_size=4).map(tuple))
    if draw(st.booleans()):  # with rows that contexts are for
        shape = (*shape[:1], draw(st.integers(1, 40)), draw(st.integers(16, 30)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from((1, 3, 200, None)))
    size = math.prod(shape)
    chosen = np.frombuffer(random.bytes((levels or size) * kind.itemsize), kind)
    bits = random.choice(chosen, size) if levels and size else chosen[:size]
    kept = random.random(size) < draw(st.sampled_from((0.0, 0.02, 0.3, 1.0)))
    return Array(dtype, (bits * kept).astype(kind).reshape(shape))


@pytest.mark.slow
@given(
    st.sampled_from((KERAS, TFLITE)),
    st.binary(max_size=300),
    st.lists(arrays(), max_size=3),
)
def test_everything_comes_back_here_and_by_the_documented_decoder(kind, text, given):
    content = container.write(Contents(kind, text, given)).content
    found = container.read(content)
    documented = decoder()["decode"](content, DICTIONARY)
    assert (kind, text) == found[:2] == documented[:2]
    assert decoder()["decode"](content)[1] is None
    for array, one, other in zip(given, found.arrays, documented[2], strict=True):
        assert one.dtype == array.dtype
        for bits in (one.bits, other):
            assert bits.dtype == array.bits.dtype
            np.testing.assert_array_equal(bits, array.bits)


def test_the_same_contents_make_the_same_file():
    contents = Contents(KERAS, b"", [bits_of(sparse(50, 40))])
    one, other = (container.write(contents).content for _ in range(2))
    assert one == other
    # On every machine: nothing but integers decides about the stream.
    assert zlib.crc32(one[:-4]) == 0xE3DD0013


def test_an_old_dictionary_is_never_changed():
    assert (len(DICTIONARY), zlib.crc32(DICTIONARY)) == (5979, 0xAC134EA0)


def test_the_parts_add_up_to_the_file():
    given = [bits_of(sparse(50, 40)), bits_of(sparse(40, density=1.0))]
    written = container.write(Contents(KERAS, b"a text", given))
    bits = sum(part.header_bits + part.mask_bits for part in written.parts)
    bits += sum(part.value_bits for part in written.parts)
    rest = len(written.content) - written.text_bytes - bits / 8
    assert 4 + 1 + 1 + 2 + 1 + 4 <= rest < 4 + 1 + 1 + 2 + 1 + 4 + 8


def on_grid(random, *shape, density=0.05, levels=7):
    numbers = random.integers(1, levels, shape) * random.choice((-1, 1), shape)
    kept = random.random(shape) < density
    return (np.float32(0.0371) * (numbers * kept).astype("float32")).astype("float32")


def test_a_large_array_takes_what_its_entropy_says():
    values = on_grid(np.random.default_rng(0), 300, 200)
    array = bits_of(values)
    header = header_of(array, NOTHING)
    assert header.form == GRID
    mask, kept = values != 0, values[values != 0]
    share = mask.mean()
    expected = -mask.size * (
        share * np.log2(share) + (1 - share) * np.log2(1 - share)
    ) - sum(n * np.log2(n / len(kept)) for n in np.unique(kept, return_counts=True)[1])
    assert entropy_of(array, header) == pytest.approx(expected)
    content = container.write(Contents(KERAS, b"", [array])).content
    assert 0.98 * expected < 8 * len(content) < 1.05 * expected


def cost(mask, context, previous=NOTHING):
    meter = Meter()
    code_mask(meter, mask.astype(np.uint8), int(mask.sum()), context, previous)
    return meter.bits


def test_contexts_save_what_rows_and_columns_tell():
    random = np.random.default_rng(0)
    of_columns = random.random(100) ** 4
    of_rows = np.repeat(random.random(20) ** 4, 10)  # neighbors are alike
    columns = random.random((200, 100)) < of_columns
    rows = random.random((200, 100)) < of_rows[:, None]
    alike, near = Context(masks.ALIKE), Context(masks.NEIGHBORS, stride=1)
    assert cost(columns, alike) < 0.8 * cost(columns, Context())
    assert cost(columns.T, Context(masks.ALIKE, True)) == cost(columns, alike)
    assert cost(rows, near) < 0.9 * cost(rows, alike)
    dead = rows & (random.random(200) < 0.5)[:, None]
    made = 40 * dead.any(axis=1)  # the ones in the columns that make these inputs
    told = cost(dead, Context(masks.PREVIOUS), made)
    assert told < 0.95 * min(cost(dead, near), cost(dead, alike))


def test_the_best_context_is_chosen():
    random = np.random.default_rng(0)
    likely = np.tile(random.random(12), 20)  # every twelfth row is alike
    values = random.random((240, 100)) < (likely**3 * 0.3)[:, None]
    tried = masks.contexts(values, NOTHING)
    assert Context(masks.NEIGHBORS, stride=12) in tried
    header = header_of(bits_of(values.astype("float32")), NOTHING)
    assert header.context == min(tried, key=lambda context: cost(values, context))


def test_few_levels_are_listed_and_even_ones_are_a_grid():
    random = np.random.default_rng(0)
    levels = np.sqrt(np.array([0.3, 1.7, 2.2], "float32"))
    assert header_of(bits_of(random.choice(levels, 99)), NOTHING).form == LIST
    numbers = random.integers(-7, 8, 99).astype("float32")
    header = header_of(bits_of(np.float32(0.1) * numbers + np.float32(0)), NOTHING)
    assert header.form == GRID and (header.first, header.count) == (-7, 14)
    assert header_of(bits_of(sparse(300, density=1.0)), NOTHING).form == BYTES


# What no file can do


def sealed(content):
    """The content with its checksum, as if it had been written so."""
    return content + zlib.crc32(content).to_bytes(4, "little")


def tiny():
    random = np.random.default_rng(0)
    given = [
        bits_of(on_grid(random, 10, 16, density=0.2)),
        bits_of(sparse(12, density=0.5)),
        bits_of(sparse(16, 2, density=0.7).astype("float16"), "float16"),
        bits_of(random.integers(0, 3, 5), "int64"),
    ]
    return container.write(Contents(KERAS, b'{"a": 1}', given)).content


def mutated(content, random):
    """One to four bytes changed, a part removed or repeated, or the end cut off."""
    found = bytearray(content)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(found)))
        match random.integers(5):
            case 0:
                found[at] ^= 1 << int(random.integers(8))
            case 1:
                found[at] = int(random.choice((0, 1, 127, 128, 255)))
            case 2:
                del found[at : at + int(random.integers(1, 9))]
            case 3:
                found[at:at] = found[at : at + int(random.integers(1, 9))]
            case 4:
                del found[max(at, 7) :]
        if len(found) < 7:
            break
    return bytes(found)


def test_ten_thousand_mutations_are_refused_or_read_within_their_memory():
    content, random, limit = tiny(), np.random.default_rng(0), 2**16
    read, refused = 0, 0
    tracemalloc.start()
    try:
        for index in range(10_000):
            found = mutated(content, random)
            if index % 4:  # otherwise the checksum alone would refuse them all
                found = sealed(found[:-4])
            try:
                arrays = container.read(found, limit).arrays
                assert sum(array.bits.nbytes for array in arrays) <= limit
                read += 1
            except PackError:
                refused += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read + refused == 10_000 and read > 50 and refused > 5000
    assert peak < 6 * limit + 2**20


@pytest.mark.parametrize("density", [0.05, 1.0])
def test_memory_is_a_few_times_that_of_the_arrays(density):
    array = bits_of(sparse(400, 500, density=density))
    content = container.write(Contents(KERAS, b"", [array])).content
    tracemalloc.start()
    try:
        container.read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * array.bits.nbytes + 2**21


def test_each_torn_file_is_refused():
    content = tiny()
    for end in range(len(content)):
        with pytest.raises(PackError):
            container.read(content[:end])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a packed file: it begins with b''"),
        (b"PK\x03\x04 a zip archive", "not a packed file"),
        (tiny()[:4] + b"\x02" + tiny()[5:], "version 2 .* Update keras_invprune"),
        (tiny()[:-9], "checksum is .*, and should be"),
        (sealed(tiny()[:5] + b"\x07" + tiny()[6:-4]), "unknown kind 7"),
        (sealed(tiny()[:-4] + bytes(8)), "Bytes are left"),
        (sealed(tiny()[:-5]), "symbols in"),
    ],
)
def test_what_is_wrong_is_said(content, message):
    with pytest.raises(PackError, match=message):
        container.read(content)


def declaring(shape, ones=1, flags=0, more=b"\0\1" * 4):
    """A file with one float32 array of a shape, and a short stream."""
    numbers = b"".join(map(container.varint, (*shape, ones)))
    head = bytes([0, len(shape)]) + numbers + bytes([flags]) + more
    text = zlib.compressobj(wbits=-15).flush()
    begin = container.MAGIC + bytes([1, KERAS, 0, len(text)]) + text
    return sealed(begin + b"\1" + head + bytes(40))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (declaring((2**20, 2**20)), "declares 4,398,046,511,104 bytes.*limit="),
        (declaring((2**62, 2**62)), "declares .* bytes"),
        (declaring((2**14, 2**14)), "symbols in 40 bytes"),
        (declaring((4, 4), ones=17), "17 of"),
        (declaring((4, 4), flags=3), "flags 3"),
        (declaring((4, 4), flags=4), "its rows have 4 columns"),
        (declaring((4, 16), flags=12), "the mask before it has other columns"),
        (declaring((4, 16), flags=8, more=b"\5" + b"\0\1" * 4), "a distance of 5"),
        (declaring((8,), more=b"\2\1" * 4), "bytes in the ranges"),
        (declaring((8,), flags=2, more=b"\x81\2"), "257 levels"),
        (declaring((8,), flags=1, more=b"\0\0\x80\x3f\5\2"), "2 levels from -5"),
        (
            declaring((8,), flags=2, more=b"\x80" * 12),
            "number that ends at byte .* too long",
        ),
        (declaring((8,), flags=2, more=b"\x20"), "ends too early"),
    ],
)
def test_what_is_declared_is_checked_first(content, message):
    tracemalloc.start()
    try:
        with pytest.raises(PackError, match=message):
            container.read(content)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_many_empty_arrays_are_refused_before_they_take_memory():
    text = zlib.compressobj(wbits=-15).flush()
    begin = container.MAGIC + bytes([1, KERAS, 0, len(text)]) + text
    content = begin + container.varint(10**6) + bytes(4 * 10**6)
    tracemalloc.start()
    try:
        with pytest.raises(PackError, match="1,000,000 arrays, and at most 16,384"):
            container.read(sealed(content))
        assert tracemalloc.get_traced_memory()[1] < 2**23  # the file has 4 MB
    finally:
        tracemalloc.stop()
    most = container.varint(container.MOST_ARRAYS) + bytes(4 * container.MOST_ARRAYS)
    assert len(container.read(sealed(begin + most)).arrays) == container.MOST_ARRAYS


def test_a_text_that_grows_is_stopped():
    packer = zlib.compressobj(9, wbits=-15)
    text = packer.compress(bytes(10**8)) + packer.flush()
    sizes = container.varint(5) + container.varint(len(text))
    content = sealed(container.MAGIC + bytes([1, KERAS]) + sizes + text + b"\0")
    tracemalloc.start()
    try:
        with pytest.raises(PackError, match="does not have 5 bytes"):
            container.read(content)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


def test_no_file_reaches_the_limit_of_symbols_for_a_bit():
    values = np.zeros((3000, 300), "float32")
    values[0, 0] = 1
    twos = np.full_like(values, 2)
    for each in (values, 1 - values, twos, np.where(values == 0, twos, values)):
        arrays = [bits_of(each)]
        content = container.write(Contents(KERAS, b"", arrays)).content
        np.testing.assert_array_equal(
            container.read(content).arrays[0].bits, arrays[0].bits
        )
