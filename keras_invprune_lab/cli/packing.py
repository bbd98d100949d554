"""The commands `pack` and `unpack`."""

from pathlib import Path
from typing import Any

from rich.table import Table

from keras_invprune_lab.cli.tables import console, load_model

TFLITE, KERAS = ".tflite", ".keras"


def pack_file(file: Path, out: Path, bits: int | None):
    """Pack a .keras or .tflite file, and print what it takes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is neither.
    """
    import keras_invprune as kip

    if file.suffix not in (KERAS, TFLITE):
        raise ValueError(f"A .keras or .tflite file can be packed. Received: {file}.")
    given = file if file.suffix == TFLITE else load_model(file)
    found = kip.pack(given, out, bits=bits)
    console.print(_table(found))
    console.print(
        f"{out}: {found.bytes:,} bytes, {found.over_entropy:.3f} of the entropy. The "
        f"given file has {file.stat().st_size:,} bytes."
    )
    if bits is not None:
        console.print(
            f"Quantized: outputs differ by up to {found.relative_error:.2%} of the "
            "largest, on random inputs."
        )


def unpack_file(file: Path, out: Path, limit: int | None = None):
    """Unpack a file to a new .keras or .tflite file, which appears when complete.

    A .keras file is loaded again before that, and compared with what was unpacked.

    Raises:
        FileExistsError: If the new file is there.
        PackError: If what Keras has saved differs.
        ValueError: If its name does not suit what was packed.
    """
    import keras

    import keras_invprune as kip
    from keras_invprune.exporting.errors import writing
    from keras_invprune.packing.verify import check_outputs
    from keras_invprune.saving import replaced

    if out.exists():
        raise FileExistsError(f"{out} already exists. Move it, or choose another name.")
    options = {} if limit is None else {"limit": limit}
    found: Any = kip.unpack(file, **options)
    suffix = TFLITE if isinstance(found, bytes) else KERAS
    if out.suffix != suffix:
        raise ValueError(
            f"{file} holds a {suffix} file, so the name of the new file must end in "
            f"{suffix}. Received: {out}."
        )
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replaced(out) as new:
            if isinstance(found, bytes):
                new.write_bytes(found)
            else:
                found.save(new)
                check_outputs(found, keras.saving.load_model(new, compile=False))
    console.print(f"{out}: {out.stat().st_size:,} bytes.")


def _table(found) -> Table:
    table = Table("array", "shape", "not zero", "mask, bytes", "values, bytes")
    for array in found.arrays:
        shape = "x".join(map(str, array["shape"]))
        sizes = f"{array['mask_bytes']:,.0f}", f"{array['value_bytes']:,.0f}"
        table.add_row(array["key"], shape, f"{array['nonzeros']:,}", *sizes)
    of_arrays = sum(one["mask_bytes"] + one["value_bytes"] for one in found.arrays)
    rest = round(found.bytes - of_arrays)
    table.add_row("the rest of the file", "", "", "", f"{rest:,}")
    return table
