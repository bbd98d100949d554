"""Recipes: what a table is made of, in YAML, checked before anything runs."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
)

from keras_invprune.saving import named
from keras_invprune_lab.data import check_name, own_name
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.settings import (
    Count,
    Part,
    Positive,
    Several,
    Share,
    Short,
)
from keras_invprune_lab.models import MODELS, has_width
from keras_invprune_lab.recipes.from_yaml import Recipes


def _one_of(known, kind):
    def check(name):
        named(name, known, kind)
        return name

    return AfterValidator(check)


Compression = Annotated[float, Field(gt=1), Short]


# The keys that single methods add.
OWN = dict.fromkeys(one.settings for one in METHODS.values() if one.settings)


class Optimizer(Part):
    """How weights are moved.

    Attributes:
        name: "sgd" or "adamw".
        rate: First learning rate.
        momentum: Nesterov's, of "sgd"; 0 for none.
        weight_decay: Decoupled from the gradient.
        schedule: Of each phase: "constant", "cosine" (to 0) or "restarts": cosines of
            `period` epochs, the next twice as long; at each restart the network
            joins a snapshot ensemble.
        period: Epochs of the first cosine of "restarts".
    """

    name: Literal["sgd", "adamw"] = "sgd"
    rate: Positive = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine", "restarts"] = "constant"
    period: Count = 15


class Search(Part):
    """The invariance objective.

    Attributes:
        views: "natural_images" (SimCLR's), "images" (small movements), each drawn
            twice, as in the paper; "original+natural_images" and "original+images",
            where the first of the two is the image itself; or "scarf". None for what
            suits the data: scarf for rows, images for gray ones.
        weight: λ.
        temperature: τ.
        labels: Whether L_NCE is supervised.
        supervised: What L_SUP sees, see `Invariance`.
    """

    views: (
        Literal[
            "natural_images",
            "images",
            "original+natural_images",
            "original+images",
            "scarf",
        ]
        | None
    ) = None
    weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Positive = 1.0
    labels: bool = True
    supervised: Literal["first", "both", "original"] = "first"


class Recipe(*OWN, Part):
    """Everything the runs of one table need; what one method reads is in its file.

    Attributes:
        title: Heading of the table.
        datasets: Such as ``tfds:cifar10`` or ``openml:credit-g``.
        methods: Names in `methods.METHODS`.
        model: Name of a network.
        width: Its width multiplier or width; None for the paper's.
        initializer: Of its kernels, by Keras's name; None for the network's own.
        compressions: Total over nonzero weights; for every seed.
        extra_compressions: For the first seed only.
        counted: What compressions count: "all" trained weights, or the "kernels" that
            are pruned, as papers on pruning before training do.
        seeds: Of initialization, order, views; of the split too with `vary_split`.
        vary_split: Whether a seed splits the data too (tables, validation).
        validation: Share of the training part to choose the best epoch by.
        encoding: Of tables: "one_hot" or "codes".
        search_epochs: Epochs before pruning.
        finetune_epochs: Epochs after. Methods that do not search get both.
        epoch_steps: Most steps an epoch has, so that large tables do not take days;
            None for all rows.
        batch_size: Rows in a batch.
        optimizer: See `Optimizer`.
        finetune_optimizer: After pruning, and of methods that do not search; None for
            the same.
        decayed: What weight decay shrinks: "all" weights, or "kernels", without biases
            and what BatchNorm learns.
        search: See `Search`.
        kappas: κ of small initialization; of several the best on validation rows.
        prune_head: Whether the last layer is pruned too.
        kappa_scope: "kernels" (that are pruned) or "all" trained weights.
        rewind: "first_epoch", "initial", "unscaled", or "none": what stays keeps
            the weights that the search has found.
        augment: Of supervised training: "none", or "crop_flip" (zeros of 4 pixels
            around, random crop; random mirror).
        select: What the best epoch is chosen by, on validation rows.
        reach: A share of it: the table says how many epochs each method needs for it.
        published: ``{data set: {any name: percent}}``, printed next to ours.
    """

    title: str
    datasets: Several[Annotated[str, AfterValidator(check_name)]]
    methods: Several[Annotated[str, _one_of(METHODS, "method")]]
    model: Annotated[str, _one_of(MODELS, "model")]
    width: Count | None = None
    initializer: Literal["glorot_uniform", "he_normal", "lecun_normal"] | None = None
    compressions: Several[Compression] = [8.0]
    extra_compressions: list[Compression] = []
    counted: Literal["all", "kernels"] = "all"
    seeds: Several[Annotated[int, Field(ge=0, lt=2**32)]] = [0]
    vary_split: bool = False
    validation: Share = 0.2
    encoding: Literal["one_hot", "codes"] = "one_hot"
    search_epochs: Count
    finetune_epochs: Count
    epoch_steps: Count | None = None
    batch_size: Annotated[int, Field(ge=2)] = 128
    optimizer: Optimizer = Optimizer()
    finetune_optimizer: Optimizer | None = None
    decayed: Literal["all", "kernels"] = "all"
    search: Search = Search()
    kappas: Several[Annotated[float, Field(gt=0, le=1), Short]] = [0.25]
    prune_head: bool = False
    kappa_scope: Literal["kernels", "all"] = "kernels"
    rewind: Literal["first_epoch", "initial", "unscaled", "none"] = "first_epoch"
    augment: Literal["none", "crop_flip"] = "none"
    select: Literal["accuracy", "balanced_accuracy"] = "accuracy"
    reach: Share | None = None
    published: dict[str, dict[str, float]] = {}

    @field_validator("datasets")
    @classmethod
    def _no_namesakes(cls, names):
        known = {}
        for name in names:
            first = known.setdefault(own_name(name), name)
            if first != name:
                raise ValueError(f"{first!r} and {name!r} are the same data set.")
        return names

    @field_validator("width")
    @classmethod
    def _of_the_model(cls, width, info):
        model = info.data.get("model")
        if width and model and not has_width(model):
            raise ValueError(f"{model!r} has one size. Leave `width` out.")
        return width

    @field_validator("published")
    @classmethod
    def _of_datasets(cls, published, info):
        for name in published:
            known = dict.fromkeys(info.data.get("datasets", published))
            named(name, known, "data set of this recipe")
        return published


RECIPES = Recipes(Recipe, __package__, "recipe")
names, load, parse = RECIPES.names, RECIPES.load, RECIPES.parse
