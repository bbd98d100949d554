"""Makes a new model with the same architecture and weights."""

import contextlib
import types
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.attributes import carry_functions
from keras_invprune.graph.carrying import carry_state
from keras_invprune.graph.outputs import check_outputs
from keras_invprune.graph.trace import entry_layers
from keras_invprune.graph.twins import DifferentError, check_functions, pair
from keras_invprune.graph.weights import is_graph, walk

LONG = 600  # maximum number of characters of Keras's message
IN_PLACE = ", or prune the model itself with copy=False (its weights will change)"


def copy_model(model: keras.Model, otherwise: str = IN_PLACE) -> keras.Model:
    """Return a copy of a built Keras model that shares nothing with it.

    Graphs are rebuilt layer by layer. Each layer is made by its own class from its own
    config, so that no class is looked up by a name that another class may share. Then
    weights and other state are copied to the layer at the same place. The copy is not
    compiled.

    Args:
        model: A built Keras model.
        otherwise: What messages name as another way out.

    Raises:
        ValueError: If the copy cannot be made or differs; the message says what to do.
    """
    named = f"{model.name!r} ({type(model).__name__})"
    try:
        check_functions(model)
        with warnings.catch_warnings():
            # The caller's own lambdas are safe.
            warnings.filterwarnings("ignore", ".*includes a `lambda`.*")
            copied = _Copies().of(model)
            _build_alike(model, copied)
            carry_state(pair(model, copied))
        check_outputs(model, copied)
    except DifferentError as error:
        advice = f" Do so{otherwise}." if otherwise else ""
        raise ValueError(
            f"The copy of model {named} differs from it. {error}{advice}"
        ) from error
    except Exception as error:
        raise ValueError(
            f"Model {named} cannot be rebuilt from its config. Give its custom classes "
            "a `get_config` that returns all arguments of the constructor"
            f"{otherwise}. Keras reports: {_brief(error)}"
        ) from error
    return copied


def _brief(error: Exception) -> str:
    """Return the beginning and the end of Keras's message, without the configs."""
    text = " ".join(str(error).split())
    return text if len(text) < LONG else f"{text[: LONG // 2]} ... {text[-LONG // 2 :]}"


Picks = Mapping[int, tuple[int, list[int]]]


def changed_copy(
    model: keras.Model,
    changes: Mapping[int, Mapping[str, Any]],
    picks: Picks = MappingProxyType({}),
) -> keras.Model:
    """Return a copy of a graph model in which the configs of some layers differ.

    The changed layers have fresh weights, all others those of the model. If the class
    of a model around them has a constructor of its own, which would make other layers,
    its copy is a plain one (`graph_class`).

    Args:
        model: A built Sequential or Functional model.
        changes: ``{id(layer): {dotted path in its config: new value}}``.
        picks: ``{id(layer): (axis, indices)}`` of layers of the model itself. Of what
            they make, others read only these indices. A Sequential model that has any
            becomes a Functional one.

    Returns:
        The copy, and triples (path, layer, its twin).

    Raises:
        DifferentError: If another layer differs in the copy, or cannot be rebuilt.
    """
    check_functions(model)
    if picks and isinstance(model, keras.Sequential):
        model = _as_functional(model)
    touched = _touched(model, changes)
    if picks and not _is_plain(model):
        touched.add(id(model))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*includes a `lambda`.*")
            copied = _Copies(changes, picks, touched).of(model)
        pairs = pair(model, copied, touched)
        carry_state(pairs, touched)
    except DifferentError:
        raise
    except Exception as error:
        raise DifferentError(
            "A layer cannot be rebuilt from its config. Give custom classes a "
            "`get_config` that returns all arguments of the constructor. Keras "
            f"reports: {_brief(error)}"
        ) from error
    return copied, pairs


def _touched(model: keras.Model, changes: Mapping[int, Any]) -> set[int]:
    """Return the ids of changed layers, of those inside them and of those around."""
    found = set()
    for _, layer in walk(model):
        inside = {id(each) for _, each in walk(layer)}
        if id(layer) in changes:
            found |= inside
        elif (is_graph(layer) or _is_wrapper(layer)) and inside & changes.keys():
            found.add(id(layer))
    return found


def _as_functional(model: keras.Model) -> keras.Model:
    # Without `trainable`, which would be set in the model's own layers.
    view = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    view.dtype_policy = model.dtype_policy
    return view


class _Copies:
    """Copies of layers, one of each, so that shared layers are shared in the copy.

    Args:
        changes: What differs in the configs of some layers (`changed_copy`).
        picks: Which of the outputs of some layers are read.
        touched: The ids of models that must be made from copies of their layers.
    """

    def __init__(
        self,
        changes: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
        picks: Picks = MappingProxyType({}),
        touched: Collection[int] = (),
    ):
        self._made, self._changes, self._picks = {}, changes, picks
        self._touched = touched

    def of(self, layer: keras.Layer) -> Any:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._new(layer)
        return self._made[id(layer)]

    def _new(self, layer: keras.Layer) -> Any:
        if _is_plain(layer) or (is_graph(layer) and id(layer) in self._touched):
            return _same_graph(layer, self.of, self._picks)
        if _is_wrapper(layer):
            return _same_wrapper(layer, self.of)
        return rebuilt(layer, self._changes.get(id(layer)))


def _is_wrapper(layer: keras.Layer) -> bool:
    return type(layer) is keras.layers.TimeDistributed


def _same_wrapper(
    wrapper: keras.layers.TimeDistributed, copy: Callable[[keras.Layer], Any]
) -> keras.layers.TimeDistributed:
    """Return a wrapper of a copy of its layer."""
    config = wrapper.get_config()
    del config["layer"]
    return type(wrapper)(copy(wrapper.layer), **config)


def _is_plain(layer: keras.Layer) -> bool:
    """Return whether a model is only its graph, with Keras's own constructor."""
    return is_graph(layer) and graph_class(layer) is type(layer)


def graph_class(model: keras.Model) -> type[keras.Model]:
    """Return the class that makes a graph model from layers: its own, or Keras's.

    It is Keras's if its own has another constructor or config, which may make others.
    """
    x = keras.Input(())
    is_sequential = isinstance(model, keras.Sequential)
    plain = keras.Sequential if is_sequential else type(keras.Model(x, x))
    is_own = all(
        getattr(type(model), name) is getattr(plain, name)
        for name in ("__init__", "get_config")
    )
    return type(model) if is_own else plain


def _same_graph(
    model: keras.Model, copy: Callable[[keras.Layer], Any], picks: Picks
) -> keras.Model:
    """Return a Sequential or Functional model made of copies of its layers."""
    view = keras.Model(model.inputs, model.outputs)
    inputs = [copy(layer).output for layer in entry_layers(model)]
    options = {"name": model.name, "trainable": model.trainable}
    kind = graph_class(model)
    if isinstance(model, keras.Sequential):
        made = kind([*inputs, *map(copy, model.layers)], **options)
    else:
        chosen = _Chosen({id(copy(x)): picks.get(id(x)) for x in view.operations})
        for layer in entry_layers(model):
            chosen.note(copy(layer), copy(layer).output)
        clone = keras.models.clone_model(
            view, inputs, clone_function=copy, call_function=chosen.call
        )
        structs = _packed(model.input, inputs), _packed(model.output, clone.outputs)
        made = kind(*structs, **options)
    made.dtype_policy = model.dtype_policy  # Keras leaves it out of most configs
    return made


class _Chosen:
    """Calls layers on what is picked of the tensors that they read."""

    def __init__(self, picks: Mapping[int, tuple[int, list[int]] | None]):
        self._picks, self._picked = picks, {}

    def note(self, operation: keras.Operation, made: Tensor) -> None:
        """Pick what others read of what an operation makes, if that is wanted."""
        if found := self._picks.get(id(operation)):
            axis, indices = found
            chosen = keras.ops.take(made, indices, axis)
            self._picked[id(made)] = chosen, made  # which keeps its id

    def call(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Nested:
        """Return what an operation makes."""

        def chosen(part: Any) -> Any:
            return self._picked.get(id(part), (part,))[0]

        if self._picked:
            args, kwargs = keras.tree.map_structure(chosen, (args, kwargs))
        made = operation(*args, **kwargs)
        self.note(operation, made)
        return made


def _packed(struct: Nested, flat: list) -> Nested:
    return keras.tree.pack_sequence_as(struct, flat)


def rebuilt(
    layer: keras.Operation, changes: Mapping[str, Any] | None
) -> keras.Operation:
    """Return a new layer or operation made from the config; its call will build it.

    Args:
        layer: The layer or operation.
        changes: ``{dotted path in its config: new value}``; None to keep those of
            layers inside it as built.
    """
    with _lambdas_named(layer):
        config = keras.saving.serialize_keras_object(layer)
        config.pop("compile_config", None)
        config.pop("build_config", None)
        if changes is not None:  # the calls build a changed layer and those inside it
            config = _without_builds(config)
            for path, value in changes.items():
                _change(config["config"], path.split("."), value)
        with keras.saving.custom_object_scope(custom_objects(layer)):
            made = keras.saving.deserialize_keras_object(config, safe_mode=False)
    made.name = layer.name  # a constructor may drop it
    if isinstance(layer, keras.layers.Layer):
        if made.dtype_policy != layer.dtype_policy:
            made.dtype_policy = layer.dtype_policy
        for (_, old), (_, new) in zip(walk(layer), walk(made), strict=False):
            if type(old) is not type(new):
                break  # it may be made on building; `pair` will check
            carry_functions(old, new)
    return made


def _without_builds(config: Any) -> Any:
    """Return a config without the shapes for which layers inside it were built."""
    if isinstance(config, dict):
        kept = (item for item in config.items() if item[0] != "build_config")
        return {key: _without_builds(value) for key, value in kept}
    if isinstance(config, list):
        return [_without_builds(value) for value in config]
    return config


def _change(config: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        config = config[name]
    config[path[-1]] = value


def _build_alike(model: keras.Model, copied: keras.Model) -> None:
    """Build a subclassed model, which has no graph, as Keras does on loading."""
    config = model.get_build_config()
    if config and not copied.built:
        copied.build_from_config(config)


def custom_objects(layer: keras.Operation) -> dict[str, Any]:
    """Return the custom classes and functions that the config of `layer` may name.

    Args:
        layer: A layer or operation, or a loss, metric or optimizer.
    """
    found = {}
    # Inner layers first: if two classes have one name, the layer's own must win.
    for _, each in reversed(_inside(layer)):
        for value in [*_values(list(vars(each).values())), type(each)]:
            kind = (
                value if isinstance(value, type | types.FunctionType) else type(value)
            )
            if (kind.__module__ or "").partition(".")[0] not in ("keras", "builtins"):
                found[keras.saving.get_registered_name(kind)] = kind
    return found


def _inside(layer: keras.Operation) -> list[tuple[str, Any]]:
    """Return pairs (path, layer) of a layer and those inside it, or of an operation."""
    return list(walk(layer)) if isinstance(layer, keras.Layer) else [("", layer)]


@contextlib.contextmanager
def _lambdas_named(layer: keras.Operation) -> Iterator[None]:
    """Give each lambda a name of its own, by which a config can tell it apart.

    Keras would write its bytecode instead, and lose what the lambda remembers.
    """
    held = [value for _, each in _inside(layer) for value in _values(vars(each))]
    lambdas = {id(f): f for f in held if getattr(f, "__name__", "") == "<lambda>"}
    try:
        for index, function in enumerate(lambdas.values()):
            function.__name__ = f"lambda_{index}"
        yield
    finally:
        for function in lambdas.values():
            function.__name__ = "<lambda>"


def _values(value: Any) -> Iterator[Any]:
    """Yield the functions, and objects with a config, inside nested lists and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _values(item)
    elif isinstance(value, types.FunctionType) or hasattr(value, "get_config"):
        yield value
