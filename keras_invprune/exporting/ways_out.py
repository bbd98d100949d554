"""Why a file is refused, in a line, and what may help against just that."""

import re

import keras

from keras_invprune.graph.weights import walk

OTHER_FLOATS = ("float16", "bfloat16", "float64")
NO_PYTHON = (
    "`keras.ops` or TensorFlow operations in place of NumPy, `tf.py_function` and "
    "`tf.numpy_function`"
)
OTHERS = {
    "model.keras": '`formats=("saved_model", "tflite")`',
    "saved_model": '`formats=("keras",)`',
    "model.tflite": '`formats=("keras", "saved_model")`',
}
RANDOM = "gives other outputs when it is run again"  # of the Keras model itself
DETERMINISTIC = (RANDOM, "layers without randomness where they get `training=False`")
ROUNDED = ("is off by", "a larger `tolerance`, if that much does no harm")
# By file: (what the error says, what helps); the first that is found counts.
CAUSES = {
    "model.keras": [
        DETERMINISTIC,
        (
            "is off by",
            "`get_config` that returns all that the layer was made with, and weights "
            "for what it learned",
        ),
        (
            "Could not locate|Unknown (?:layer|object|loss|metric|activation)",
            "`@keras.saving.register_keras_serializable()` on custom classes and "
            "functions",
        ),
        (
            "lambda",
            "a function or layer of your own, with "
            "`@keras.saving.register_keras_serializable()`, in place of the lambda",
        ),
        (
            "get_config|argument",
            "`get_config` that returns the arguments of the layer's constructor",
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
            "Lite has loops for batches of one size only",
        ),
        ("is off by", '`tflite_options=("sparsity",)` or `()`'),
    ],
}


def reason(file: str, error: BaseException) -> str:
    """What went wrong with a file, in a line."""
    text = _innermost(error)
    named = re.search(r"'tf\.\w+' op [^\n]*", text)
    # Elsewhere "tf.Tensor" and its like are Python's names.
    others = sorted(operations(error)) if file == "model.tflite" else ()
    if not named and others:
        return f"there is no {', '.join(others)}"
    return (named[0] if named else text[:500]).rstrip(". ")


def _innermost(error) -> str:
    """What Keras found, without all that it was in."""
    return str(error).rsplit("Exception encountered:", 1)[-1].strip()


def operations(error: BaseException) -> set[str]:
    """The TensorFlow operations that the converter says it lacks."""
    return set(re.findall(r"\btf\.[A-Z]\w*", str(error)))


def ways_out(file: str, error: BaseException, model: keras.Model) -> str:
    """What may help: by the cause of the error, and to leave the file out."""
    text = f"{type(error).__name__}: {_innermost(error)}"
    found = [advice for cause, advice in CAUSES[file] if re.search(cause, text)][:1]
    if file == "model.tflite":
        found = [twin] if (twin := _float32_twin(model)) else found
        found = [quantized] if (quantized := _not_quantized(model)) else found
        lacking = ", ".join(sorted(operations(error)))
        if not found and lacking:
            found = [f"other operations in place of {lacking}"]
    return "What may help: " + ", or ".join([*found, OTHERS[file]]) + "."


def _not_quantized(model) -> str:
    """The way out where Keras has quantized layers, which LiteRT does not read."""
    layers = [
        path
        for path, layer in walk(model)
        if getattr(layer, "quantization_mode", None) and path
    ]
    if not layers:
        return ""
    return (
        f'the model before `quantize`, with `tflite_options=("int8",)`: Keras has '
        f"quantized {', '.join(layers[:3])} in its own way"
    )


def _float32_twin(model) -> str:
    """The way out where layers compute in another float than LiteRT; else ""."""
    policies = {
        layer.dtype_policy.name
        for _, layer in walk(model)
        if layer.compute_dtype in OTHER_FLOATS and not isinstance(layer, keras.Model)
    }
    if not policies:
        return ""
    return (
        f"a twin of dtype float32, since layers of the dtype policy "
        f"{' and '.join(map(repr, sorted(policies)))} are not for LiteRT: build it "
        "after `keras.config.set_dtype_policy('float32')`, layers without a dtype of "
        "their own, call `twin.set_weights(model.get_weights())`, and export the twin"
    )
