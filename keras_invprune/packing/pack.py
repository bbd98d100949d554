"""`pack` and `unpack`: a model as the smallest file, and back."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from keras_invprune.arguments import is_integer, is_number, is_positive_integer
from keras_invprune.contracts import Nested
from keras_invprune.exporting.batches import states_kept
from keras_invprune.exporting.errors import writing
from keras_invprune.exporting.folders import local
from keras_invprune.graph.weights import check_keras, check_plain, weights_by_key
from keras_invprune.packing import architecture, container, tflite
from keras_invprune.packing.container import LIMIT, MAGIC, TFLITE, Contents, Written
from keras_invprune.packing.entropy import entropy_of
from keras_invprune.packing.errors import PackError
from keras_invprune.packing.quantize import BITS, quantized
from keras_invprune.packing.verify import check_outputs, check_weights, compared
from keras_invprune.saving import replaced

SCHEMA = "keras_invprune/pack/1"
SUFFIX = ".kip"
ROOM = 2**20  # by how many bytes a file may be larger than its arrays


@dataclass(frozen=True)
class Packed:
    """What was packed, how small it is, and what it changed.

    Attributes:
        kind: "keras" or "tflite".
        bytes: Size of the file.
        raw_bytes: Size of all arrays as they are in memory.
        entropy_bytes: Size of all arrays for an ideal coder without contexts: the
            order-0 entropy of masks and values.
        text_bytes: Size of what is not an array: the config, or the rest of a .tflite
            file.
        arrays: For each array its ``key``, ``shape``, ``dtype`` and ``nonzeros``, and
            the ``header_bytes``, ``mask_bytes``, ``value_bytes`` and ``entropy_bytes``.
        bits: Bits of a kernel's level; None if nothing was quantized.
        max_abs_error: Largest difference of an output from the given model's; 0 if
            nothing was quantized.
        relative_error: The same as a share of the largest output.
        accuracy: Share of right classes in [0, 1] of the packed model; None without
            labels of classes.
        accuracy_before: That of the given model.
    """

    kind: str
    bytes: int
    raw_bytes: int
    entropy_bytes: float
    text_bytes: int
    arrays: list[dict[str, Any]]
    bits: int | None = None
    max_abs_error: float = 0.0
    relative_error: float = 0.0
    accuracy: float | None = None
    accuracy_before: float | None = None

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the arrays."""
        return self.raw_bytes / self.bytes

    @property
    def over_entropy(self) -> float:
        """The size of the file as a multiple of the entropy."""
        return self.bytes / max(self.entropy_bytes, 1.0)

    def to_json(self) -> dict[str, Any]:
        """Return all figures, with the schema."""
        shares = {"ratio": self.ratio, "over_entropy": self.over_entropy}
        return {"schema": SCHEMA, **asdict(self), **shares}


def pack(
    model: keras.Model | str | Path,
    file: str | Path,
    *,
    bits: int | None = None,
    data: Nested = None,
    tolerance: float | None = None,
) -> Packed:
    """Write the smallest file of a model, for downloads.

    Masks and values are entropy-coded. Without `bits`, `unpack` returns a model with
    the same weights, bit for bit; only negative zeros become zeros. Of a .tflite file,
    it returns the same bytes. Before the file appears, it is unpacked and compared.
    The optimizer, metrics and random states are left out.

    Args:
        model: A built Keras 3 model; call `strip_pruning` on a pruned one first. Or
            the path of a .tflite file.
        file: Where to write to: a name that ends in .kip. An earlier packed file is
            replaced.
        bits: None keeps all weights. From 2 to 8, kernels are rounded to
            2**bits - 1 levels that include zero, one even grid for each kernel. Biases
            get 8 bits, and all other float32 weights become float16.
        data: ``x`` or ``(x, y)``, as for `export`, on which the quantized model is
            compared with the given one. None: random inputs.
        tolerance: Largest difference of the quantized model's outputs, as a share of
            the largest output. None: any; the result says how large it is.

    Returns:
        The sizes of the parts, and the differences.

    Example:
        >>> layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8,)), *layers])
        >>> packed = pack(model, "small.kip", bits=4)
        >>> packed.bytes < packed.raw_bytes / 3
        True
        >>> unpack("small.kip").count_params() == model.count_params()
        True

    Raises:
        FileExistsError: If another file has this name.
        ImportError: If constriction is missing; names the extra.
        OSError: If the disk is full, or if the file cannot be written.
        PackError: If the model cannot be packed, or differs afterwards.
        TypeError: If `model` is neither a Keras 3 model nor a path.
        ValueError: If it is not built, or if an argument is invalid.
    """
    _check(model, bits, data, tolerance)
    target = _target(file)
    if isinstance(model, keras.Model):
        with states_kept(model):
            content, packed = _packed(model, bits, data, tolerance)
    else:
        content, packed = _packed_file(Path(model))
    _write(content, target)
    return packed


def unpack(file: str | Path, *, limit: int = LIMIT) -> keras.Model | bytes:
    """Return what `pack` has packed.

    The model is not compiled. Its custom classes and functions must be registered.
    Keras makes the model in its safe mode, in which lambdas are refused, and only once
    the shapes of its weights are known to be those in the file.

    Args:
        file: A packed file.
        limit: The most bytes that its arrays may take. A file declares its sizes
            first, and one that declares more is refused before memory is taken.

    Returns:
        The Keras model, or the bytes of the .tflite file.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If constriction is missing; names the extra.
        PackError: If it is not a packed file, was written by a later version, is
            truncated or damaged, declares more than `limit`, or names unknown classes.
        ValueError: If `limit` is not a positive integer.
    """
    if not is_positive_integer(limit):
        raise ValueError(
            f"`limit` must be a positive number of bytes. Received: limit={limit!r}."
        )
    path = local(file)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if (size := path.stat().st_size) > limit + ROOM:
        raise PackError(
            f"{path} has {size:,} bytes, and at most {limit:,} are read. If you trust "
            f"it, pass `limit={size}`."
        )
    contents = container.read(path.read_bytes(), limit)
    if contents.kind == TFLITE:
        return tflite.file_of(contents)
    return architecture.model_of(contents)


def _check(
    model: keras.Model | str | Path,
    bits: int | None,
    data: Nested,
    tolerance: float | None,
) -> None:
    check_plain(model, "kip.pack({}, file)")
    if not isinstance(model, keras.Model | str | Path):
        raise TypeError(
            "`model` must be a Keras 3 model, or the path of a .tflite file. Received: "
            f"{type(model).__module__}.{type(model).__qualname__}."
        )
    if bits is not None and not (is_integer(bits) and bits in BITS):
        raise ValueError(
            "`bits` must be a whole number from 2 to 8, or None to keep all weights. "
            f"Received: bits={bits!r}."
        )
    if tolerance is not None and not (is_number(tolerance) and tolerance >= 0):
        raise ValueError(
            f"`tolerance` must be a share of at least 0. Received: {tolerance!r}."
        )
    if bits is None and (data is not None or tolerance is not None):
        raise ValueError(
            "`data` and `tolerance` say how far a quantized model may differ, and "
            "nothing is quantized. Pass `bits`, or leave them out."
        )
    if not isinstance(model, keras.Model) and bits is not None:
        raise ValueError(
            "A .tflite file is packed as it is. Received: bits="
            f"{bits!r}. Pass the Keras model, or quantize before the conversion."
        )
    if isinstance(model, keras.Model):
        check_keras(model, built=True)


def _target(file: str | Path) -> Path:
    path = local(file)
    if path.suffix != SUFFIX:
        raise ValueError(
            f"The name of the file must end in {SUFFIX}. Received: {str(path)!r}."
        )
    if path.exists():
        with contextlib.suppress(OSError), open(path, "rb") as there:
            if there.read(len(MAGIC)) == MAGIC:
                return path
        raise FileExistsError(
            f"{path} already exists and is not a packed file. Move it, or choose "
            "another name."
        )
    return path


def _packed(
    model: keras.Model, bits: int | None, data: Nested, tolerance: float | None
) -> tuple[bytes, Packed]:
    contents, changes = architecture.contents_of(model), {}
    slots = list(architecture.slots(model))
    if bits is not None:
        variables = [slot.value for slot in slots]
        weights = weights_by_key(model)
        arrays = quantized(contents.arrays, variables, weights, int(bits))
        contents = contents._replace(arrays=arrays)
    written = container.write(contents)
    made = architecture.model_of(container.read(written.content, _size(contents)))
    check_weights(contents, architecture.contents_of(made))
    if bits is None:
        check_outputs(model, made)
    else:
        changes = {"bits": int(bits), **compared(model, made, data, tolerance)}
    keys = [slot.key for slot in slots]
    return written.content, _figures("keras", written, contents, keys, changes)


def _packed_file(path: Path) -> tuple[bytes, Packed]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    given = path.read_bytes()
    contents = tflite.contents_of(given)
    written = container.write(contents)
    again = container.read(written.content, _size(contents))
    if tflite.file_of(again) != given:
        raise PackError(
            f"Unpacking would not restore {path} exactly. Nothing was written. Please "
            "report this with the file."
        )
    keys = [f"array_{index}" for index in range(len(written.parts))]
    return written.content, _figures("tflite", written, contents, keys, {})


def _size(contents: Contents) -> int:
    return len(contents.text) + sum(array.bits.nbytes for array in contents.arrays)


def _figures(
    kind: str,
    written: Written,
    contents: Contents,
    keys: Sequence[str],
    changes: dict[str, Any],
) -> Packed:
    arrays = []
    for key, part, array in zip(keys, written.parts, contents.arrays, strict=True):
        bits = {
            "header": part.header_bits,
            "mask": part.mask_bits,
            "value": part.value_bits,
            "entropy": entropy_of(array, part.header),
        }
        about: dict[str, Any] = {
            "key": key,
            "shape": list(part.header.shape),
            "dtype": part.header.dtype,
            "nonzeros": part.header.ones,
        }
        sizes = {f"{name}_bytes": round(size / 8, 1) for name, size in bits.items()}
        arrays.append(about | sizes)
    return Packed(
        kind=kind,
        bytes=len(written.content),
        raw_bytes=sum(array.bits.nbytes for array in contents.arrays),
        entropy_bytes=round(sum(array["entropy_bytes"] for array in arrays), 1),
        text_bytes=written.text_bytes,
        arrays=arrays,
        **changes,
    )


def _write(content: bytes, target: Path) -> None:
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced(target) as new:
            new.write_bytes(content)
