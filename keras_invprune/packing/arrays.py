"""One array: what the file says of it, and its symbols.

An array is coded as bits, so that any value comes back: negative zero and NaN, too. A
value is zero if all of its bits are. First comes the mask, then the values that are
not zero: as levels, if there are at most 256 different ones, otherwise byte by byte.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from keras_invprune.packing.coder import Coder, Meter
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.masks import NEIGHBORS, Context, code_mask, contexts
from keras_invprune.packing.reader import Reader, varint
from keras_invprune.packing.symbols import code_symbols

# In the order of their codes; new ones are added at the end.
DTYPES = (
    *("float32", "float16", "bfloat16", "float64", "bool"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
)
BYTES, GRID, LIST = range(3)  # forms of the values
MOST_LEVELS = 256
MOST_AXES = 16
NEAR = (0, -1, 1, -2, 2)  # units in the last place in which a step is searched


class Array(NamedTuple):
    """An array as bits.

    Attributes:
        dtype: One of `DTYPES`.
        bits: Unsigned integers of the same size, in the array's shape.
    """

    dtype: str
    bits: np.ndarray


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of one array.

    Attributes:
        dtype: One of `DTYPES`.
        shape: The shape.
        ones: Number of values that are not zero.
        context: How the mask is coded.
        form: BYTES, GRID or LIST.
        ranges: For BYTES, (least, greatest) of each byte, the highest one first.
        step: For GRID, the distance of two levels.
        first: For GRID, the number of steps to the first level; not above 0.
        count: For GRID, the number of levels. Zero is none of them.
        levels: For LIST, the bits of the levels.
    """

    dtype: str
    shape: tuple[int, ...]
    ones: int
    context: Context = Context()
    form: int = BYTES
    ranges: tuple[tuple[int, int], ...] = ()
    step: bytes = b""
    first: int = 0
    count: int = 0
    levels: np.ndarray | None = None

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def masked(self) -> bool:
        """Whether there is a mask: not if all values are zero, or none."""
        return 0 < self.ones < self.size

    @property
    def symbols(self) -> int:
        """The number of symbols in the stream."""
        sizes = [most - least + 1 for least, most in self.ranges]
        if self.form != BYTES:
            sizes = [len(self.all_levels())]
        values = self.ones * sum(size > 1 for size in sizes)
        return values + self.size * self.masked

    def all_levels(self) -> np.ndarray:
        """Return the bits of the levels of GRID or LIST."""
        if self.levels is not None:
            return self.levels
        return _grid(self.step, self.first, self.count)


def unsigned(dtype: str) -> np.dtype:
    """Return the type of the bits of a dtype."""
    size = 1 if dtype == "bool" else int(dtype.strip("abcdefghijklmnopqrstuvwxyz")) // 8
    return np.dtype(f"<u{size}")


def header_of(array: Array, previous: np.ndarray) -> Header:
    """Return the header with which an array is smallest.

    Args:
        array: The array.
        previous: The ones in each column of the previous mask.
    """
    mask = array.bits != 0
    values = array.bits[mask]
    header = Header(array.dtype, array.bits.shape, len(values))
    if header.masked:
        header = dataclasses.replace(header, context=_best(mask, values, previous))
    forms = [_by_bytes(header, values)]
    levels = np.unique(values)
    if 0 < len(levels) <= MOST_LEVELS:
        forms.append(dataclasses.replace(header, form=LIST, levels=levels))
        forms += _by_grid(header, levels)
    return min(forms, key=lambda form: _cost(form, values))


def _by_bytes(header: Header, values: np.ndarray) -> Header:
    parts = planes(values, header.dtype) if len(values) else []
    ranges = tuple((int(part.min()), int(part.max())) for part in parts)
    return dataclasses.replace(header, ranges=ranges)


def _by_grid(header: Header, levels: np.ndarray) -> list[Header]:
    """Return the header with a grid that has all levels, if there is one."""
    grid = _steps(levels) if header.dtype == "float32" else None
    if grid is None:
        return []
    step, first, count = grid
    return [dataclasses.replace(header, form=GRID, step=step, first=first, count=count)]


def _cost(header: Header, values: np.ndarray) -> float:
    """Return the bits of a header and of its values."""
    meter = Meter()
    code_values(meter, header, values)
    return meter.bits + 8 * len(to_bytes(header))


def _best(mask: np.ndarray, values: np.ndarray, previous: np.ndarray) -> Context:
    """Return the context that codes a mask with the fewest bits."""
    found = contexts(mask, previous)
    costs = []
    for context in found:
        meter = Meter()
        code_mask(meter, mask.astype(np.uint8), len(values), context, previous)
        costs.append(meter.bits)
    return found[int(np.argmin(costs))]


def _steps(levels: np.ndarray) -> tuple[bytes, int, int] | None:
    """Return (step, first, count) of a grid that has all levels, or None."""
    values = levels.view("<f4")
    if not np.isfinite(values).all() or not values.all():
        return None
    values = values.astype(np.float64)
    sizes = np.abs(values)
    for times in range(1, MOST_LEVELS // 2 + 1):  # of the smallest one
        numbers = np.rint(values / sizes.min() * times)
        first, last = min(0, int(numbers.min())), max(0, int(numbers.max()))
        if last - first > MOST_LEVELS:
            return None
        for away in NEAR:
            nearest = np.float32(sizes.max() / np.abs(numbers).max())
            step = (nearest.view(np.int32) + np.int32(away)).tobytes()
            with np.errstate(over="ignore"):
                found = np.frombuffer(step, "<f4")[0] * numbers.astype(np.float32)
            if np.array_equal(found, values):
                return step, first, last - first
    return None


def _grid(step: bytes, first: int, count: int) -> np.ndarray:
    """Return the bits of step * k, for `count` numbers k from `first` without 0."""
    numbers = np.arange(first, first + count + 1)
    numbers = numbers[numbers != 0][:count].astype(np.float32)
    with np.errstate(all="ignore"):  # a damaged file may have any step
        values = np.frombuffer(step, "<f4")[0] * numbers
    return values.astype("<f4").view("<u4")


def planes(values: np.ndarray, dtype: str) -> list[np.ndarray]:
    """Return the bytes of values, the highest one first.

    The sign of floats moves to the lowest bit, so that the exponent is in one byte.

    Args:
        values: Bits, [n].
        dtype: Their dtype.
    """
    bits = 8 * values.dtype.itemsize
    if "float" in dtype:
        values = values << 1 | values >> (bits - 1)
    return [(values >> at & 255).astype(np.uint8) for at in range(bits - 8, -1, -8)]


def _joined(parts: Iterable[np.ndarray], header: Header) -> np.ndarray:
    """Return the values of bytes, undoing `planes`."""
    kind = unsigned(header.dtype)
    values = np.zeros(header.ones, kind)
    for plane in parts:
        values = plane if kind.itemsize == 1 else values << 8 | plane.astype(kind)
    if "float" in header.dtype:
        values = values >> 1 | values << (8 * kind.itemsize - 1)
    return values


def code_zeros(
    coder: Coder,
    header: Header,
    previous: np.ndarray,
    bits: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Code which values of an array are zero, or decode it.

    Args:
        coder: An `Encoder`, a `Meter` or a `Decoder`.
        header: What the file says of the array.
        previous: The ones in each column of the previous mask.
        bits: The array's bits in its shape; None for a decoder.

    Returns:
        The mask, truth values in the array's shape, and `previous` for the next array.

    Raises:
        PackError: If the context does not suit the array, or if a decoded mask has
            another number of ones than its header.
    """
    mask = np.full(header.shape, header.ones > 0, np.uint8)
    if header.masked:
        if fault := header.context.fault(header.shape, previous):
            raise _damaged(f"{header.shape}, but {fault}")
        mask[...] = 0 if bits is None else bits != 0
        previous = code_mask(coder, mask, header.ones, header.context, previous)
        if (ones := int(np.count_nonzero(mask))) != header.ones:
            raise _damaged(f"{header.ones} values of {header.shape}, but {ones} ones")
    return mask.view(bool), previous


def code_values(
    coder: Coder, header: Header, values: np.ndarray | None = None
) -> np.ndarray:
    """Code the values of an array that are not zero, or decode them.

    Args:
        coder: An `Encoder`, a `Meter` or a `Decoder`.
        header: What the file says of the array.
        values: Their bits, [ones]; None for a decoder.

    Returns:
        Their bits.
    """
    if header.form == BYTES:
        given: list = [None] * len(header.ranges)
        if values is not None and len(values):
            given = planes(values, header.dtype)
        parts = [
            _code_plane(coder, header.ones, *both, plane)
            for both, plane in zip(header.ranges, given, strict=True)
        ]
        return _joined(parts, header)
    levels, symbols = header.all_levels(), None
    if values is not None:
        order = np.argsort(levels, kind="stable")
        symbols = order[np.searchsorted(levels, values, sorter=order)]
    return levels[code_symbols(coder, header.ones, len(levels), symbols)]


def _code_plane(
    coder: Coder, count: int, least: int, most: int, plane: np.ndarray | None
) -> np.ndarray:
    symbols = None if plane is None else plane - np.uint8(least)
    return code_symbols(coder, count, most - least + 1, symbols) + np.uint8(least)


def to_bytes(header: Header) -> bytes:
    """Return a header as bytes."""
    context = header.context
    head = bytes([DTYPES.index(header.dtype), len(header.shape)])
    head += b"".join(map(varint, (*header.shape, header.ones)))
    head += bytes([header.form | context.kind << 2 | context.transposed << 4])
    if context.stride:
        head += varint(context.stride)
    if header.form == GRID:
        return head + header.step + varint(-header.first) + varint(header.count)
    if header.form == LIST:
        levels = header.all_levels()
        return head + varint(len(levels)) + levels.tobytes()
    return head + bytes(end for both in header.ranges for end in both)


def read_header(reader: Reader) -> Header:
    """Read a header.

    Raises:
        PackError: If it says what no array can be, or the file ends.
    """
    code, axes = reader.take(2)
    if code >= len(DTYPES) or axes > MOST_AXES:
        raise _damaged(f"dtype {code}, {axes} axes")
    dtype, size = DTYPES[code], unsigned(DTYPES[code]).itemsize
    shape = tuple(reader.varint() for _ in range(axes))
    ones, flags = reader.varint(), reader.take(1)[0]
    form, kind, transposed = flags & 3, flags >> 2 & 3, bool(flags >> 4 & 1)
    if ones > math.prod(shape) or form > LIST or flags >> 5:
        raise _damaged(f"{ones} of {shape} values, flags {flags}")
    stride = reader.varint() if kind == NEIGHBORS else 0
    header = Header(dtype, shape, ones, Context(kind, transposed, stride), form)
    if form == BYTES:
        ends = reader.take(2 * size if ones else 0)
        ranges = tuple(zip(ends[::2], ends[1::2], strict=True))
        if any(most < least for least, most in ranges):
            raise _damaged(f"bytes in the ranges {ranges}")
        return dataclasses.replace(header, ranges=ranges)
    if form == GRID:
        step, first, count = reader.take(4), -reader.varint(), reader.varint()
        if dtype != "float32" or not 0 <= -first <= count <= MOST_LEVELS or not count:
            raise _damaged(f"{count} levels from {first} of {dtype}")
        return dataclasses.replace(header, step=step, first=first, count=count)
    count = reader.varint()
    if not 1 <= count <= MOST_LEVELS:
        raise _damaged(f"{count} levels")
    levels = np.frombuffer(reader.take(count * size), unsigned(dtype))
    return dataclasses.replace(header, levels=levels)


def _damaged(said: object) -> PackError:
    return PackError(
        f"The file is damaged: it describes an array that cannot be. Received: {said}."
        " Copy or download it again."
    )
