"""Says in one line why a file was rejected, and what may help."""

import re

import keras

from keras_invprune.graph.weights import walk

OTHER_FLOATS = ("float16", "bfloat16", "float64")
NO_PYTHON = (
    "`keras.ops` or TensorFlow operations instead of NumPy, `tf.py_function` and "
    "`tf.numpy_function`"
)
OTHERS = {
    "model.keras": '`formats=("saved_model", "tflite")`',
    "saved_model": '`formats=("keras",)`',
    "model.tflite": '`formats=("keras", "saved_model")`',
}
# Parts of the errors of OpenVINO and ONNX Runtime that are about them
PLACES = re.compile(
    r"Exception from \S+:\d+:|Check '.*' failed at \S+:\d+:|Load model from .*? failed:"
)
RANDOM = "gives different outputs when it is run again"  # said of the Keras model
DETERMINISTIC = (RANDOM, "layers without randomness if they get `training=False`")
ROUNDED = ("is off by", "a larger `tolerance`, if such an error does no harm")
# By file: (pattern in the error, what may help). The first match counts.
CAUSES = {
    "model.keras": [
        DETERMINISTIC,
        (
            "is off by",
            "a `get_config` that returns all arguments of the layer, and weights for "
            "everything that it has learned",
        ),
        (
            "Could not locate|Unknown (?:layer|object|loss|metric|activation)",
            "`@keras.saving.register_keras_serializable()` on custom classes and "
            "functions",
        ),
        (
            "lambda",
            "a function or layer of your own, with "
            "`@keras.saving.register_keras_serializable()`, instead of the lambda",
        ),
        (
            "get_config|argument",
            "a `get_config` that returns the arguments of the layer's constructor",
        ),
    ],
    "saved_model": [
        DETERMINISTIC,
        ROUNDED,
        (r"Python code|(?i:numpy|py_?func)|symbolic|EagerTensor", NO_PYTHON),
    ],
    "model.tflite": [
        DETERMINISTIC,
        ("(?i)py_?func", NO_PYTHON),
        (
            "TensorList",
            "`batch_size=1`, or recurrent layers with `unroll=True`, since TensorFlow "
            "Lite has loops only for a fixed batch size",
        ),
        ("is off by|LiteRT crashed", '`tflite_options=("sparsity",)` or `()`'),
    ],
}


def reason(file: str, error: BaseException) -> str:
    """Return in one line what went wrong with a file."""
    text = _innermost(error)
    named = re.search(r"'tf\.\w+' op [^\n]*", text)
    # In the errors of other files, names like "tf.Tensor" are Python's.
    others = sorted(operations(str(error))) if file == "model.tflite" else ()
    if not named and others:
        return f"it does not support {', '.join(others)}"
    return (named[0] if named else _one_line(text, error)).rstrip(". ")


def _one_line(text: str, error: BaseException) -> str:
    """Return an error's text without where it was raised or in which temporary file."""
    line = " ".join(PLACES.sub("", text).split())
    is_key = isinstance(error, LookupError)  # its text is the key alone
    return (f"{type(error).__name__}: {line}" if is_key else line)[:500]


def _innermost(error: BaseException) -> str:
    """Return the innermost message, without Keras's text around it."""
    return str(error).rsplit("Exception encountered:", 1)[-1].strip()


def operations(text: str) -> set[str]:
    """Return the TensorFlow operations that the converter reports as missing."""
    return set(re.findall(r"\btf\.[A-Z]\w*", text))


def ways_out(file: str, error: BaseException, model: keras.Model) -> str:
    """Return what may help against the error; omitting the file always does."""
    text = f"{type(error).__name__}: {_innermost(error)}"
    found = advice(file, text, model)
    return "What may help: " + ", or ".join([*found, OTHERS[file]]) + "."


def advice(file: str, text: str, model: keras.Model) -> list[str]:
    """Return what may help against an error, the most specific of what is known.

    Args:
        file: The file that was not made.
        text: What the error says.
        model: The model.

    Returns:
        One thing that may help, or nothing.
    """
    found = what_helps(file, text)
    if file == "model.tflite":
        found = [twin] if (twin := _float32_twin(model)) else found
        found = [quantized] if (quantized := _not_quantized(model)) else found
        lacking = ", ".join(sorted(operations(text)))
        if not found and lacking:
            found = [f"other operations instead of {lacking}"]
    return found


def what_helps(file: str, text: str) -> list[str]:
    """Return what helps against the first known cause in an error, or nothing."""
    return [helps for cause, helps in CAUSES[file] if re.search(cause, text)][:1]


def _not_quantized(model: keras.Model) -> str:
    """Return the advice for layers quantized by Keras, which LiteRT cannot read."""
    layers = [
        path
        for path, layer in walk(model)
        if getattr(layer, "quantization_mode", None) and path
    ]
    if not layers:
        return ""
    return (
        "the model before `quantize`, since LiteRT cannot read Keras's quantization of "
        f"{', '.join(layers[:3])}"
    )


def _float32_twin(model: keras.Model) -> str:
    """Return the advice for layers in another float format than LiteRT's, else ""."""
    policies = {
        layer.dtype_policy.name
        for _, layer in walk(model)
        if layer.compute_dtype in OTHER_FLOATS and not isinstance(layer, keras.Model)
    }
    if not policies:
        return ""
    return (
        f"a float32 twin of the model, since LiteRT does not support the dtype policy "
        f"{' and '.join(map(repr, sorted(policies)))}: build the same model after "
        "`keras.config.set_dtype_policy('float32')`, with no dtype given to its "
        "layers, call `twin.set_weights(model.get_weights())`, and export the twin"
    )
