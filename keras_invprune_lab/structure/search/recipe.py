"""What a search is made of, in YAML, checked before anything runs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from keras_invprune.saving import named
from keras_invprune_lab.data import check_name
from keras_invprune_lab.methods.settings import Count, Part, Positive, Several
from keras_invprune_lab.recipes.from_yaml import Recipes
from keras_invprune_lab.structure.prediction.predictors import PREDICTORS
from keras_invprune_lab.structure.search.genome import Bounds
from keras_invprune_lab.structure.search.strategies import check_strategy


class Network(Part):
    """How a graph becomes a network: see `keras_invprune.priors.convolutional`.

    Attributes:
        channels: Of each node of the first stage.
        stages: How often the graph follows itself.
        shrink: Power of two by which the stem divides height and width.
        convolution: "separable" or "full".
    """

    channels: Count = 16
    stages: Count = 1
    shrink: Count = 4
    convolution: Literal["separable", "full"] = "separable"


class Training(Part):
    """How a network is trained, and what counts.

    Attributes:
        dataset: Name of a data set of images.
        rows: Number of training rows; None for all that are left.
        validation_rows: Number of training rows held out, by which the search chooses.
        epochs: Epochs of a training. The last one counts.
        batch_size: Rows in a batch.
        rate: First learning rate of AdamW, which falls to 0 along a cosine.
        weight_decay: Of AdamW.
        augment: What happens to training images, "none" or "crop_flip".
        repeats: Trainings of each graph, from seeds 0, 1, ... Their mean counts.
    """

    dataset: Annotated[str, AfterValidator(check_name)] = "tfds:cifar10"
    rows: Count | None = None
    validation_rows: Count = 5000
    epochs: Count = 10
    batch_size: Count = 64
    rate: Positive = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    augment: Literal["none", "crop_flip"] = "none"
    repeats: Count = 1


class Graphs(Part):
    """Which graphs are searched: see `genome.Bounds`."""

    min_nodes: Annotated[int, Field(ge=2)] = 5
    max_nodes: Annotated[int, Field(ge=2, le=100)] = 12
    max_edges: Count = 40

    @model_validator(mode="after")
    def _are_possible(self) -> Self:
        if not self.min_nodes <= self.max_nodes <= self.max_edges + 1:
            raise ValueError(
                "A connected graph of n nodes has n - 1 edges or more. Received: "
                f"{self.min_nodes} to {self.max_nodes} nodes, {self.max_edges} edges"
            )
        return self

    @property
    def bounds(self) -> Bounds:
        """The same as `Bounds`."""
        return Bounds(self.min_nodes, self.max_nodes, self.max_edges)


def _is_predictor(name):
    named(name, PREDICTORS, "predictor")
    return name


class SearchRecipe(Part):
    """One or more searches among the same graphs, trained in the same way.

    Attributes:
        title: A line for people.
        training: How a network is trained.
        network: How a graph becomes a network.
        graphs: Which graphs are searched.
        strategies: Names of strategies: see `strategies.STRATEGIES`. One that begins
            with "screened-" has a predictor choose among many candidates.
        seeds: Seeds of the searches; the first graphs depend on nothing else.
        trainings: Budget of each search in graphs, each trained `repeats` times; None
            for no limit.
        minutes: Budget of each search in minutes of training, added up over processes;
            no generation begins after them. None for no limit.
        population: Number of the first graphs, and of those that a strategy keeps.
        generation: Number of graphs that are trained before the next decision, for
            strategies that do not say it themselves.
        candidates: Number of candidates among which a predictor chooses each graph.
        explore: Share of the graphs that are chosen at random instead.
        predictor: Name of the regressor that is trained on all evaluations so far.
        start_from: File of a predictor, written by ``structure predict --save``, by
            which screened strategies choose their first graphs as well. None: these are
            drawn at random, and the same for all strategies.
        noise_graphs: Number of the first graphs that are also trained from other seeds,
            which shows how much of the differences is noise.
        noise_seeds: Seeds of each of them.
    """

    title: str
    training: Training = Training()
    network: Network = Network()
    graphs: Graphs = Graphs()
    strategies: Several[Annotated[str, AfterValidator(check_strategy)]]
    seeds: Several[Annotated[int, Field(ge=0)]] = [0]
    trainings: Count | None = None
    minutes: Positive | None = None
    population: Annotated[int, Field(ge=4)] = 20
    generation: Count = 10
    candidates: Count = 10
    explore: Annotated[float, Field(ge=0, le=1)] = 0.2
    predictor: Annotated[str, AfterValidator(_is_predictor)] = "vote"
    start_from: str | None = None
    noise_graphs: Annotated[int, Field(ge=0)] = 0
    noise_seeds: Annotated[int, Field(ge=2)] = 2

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.trainings is None and self.minutes is None:
            raise ValueError("A search ends after `trainings` or `minutes`: give one")
        if self.noise_graphs > self.population:
            raise ValueError(
                "`noise_graphs` are some of the first graphs, at most `population`. "
                f"Received: {self.noise_graphs} of {self.population}"
            )
        return self

    def decided(self) -> dict:
        """Return all that decisions depend on, but for strategy, seed and budget.

        A predictor is what its file holds, wherever the file is.

        Raises:
            FileNotFoundError: If the predictor's file is not there.
        """
        rest = {"title", "strategies", "seeds", "trainings", "minutes"}
        rest |= {"noise_graphs", "noise_seeds"}
        found = self.model_dump(mode="json", exclude=rest)
        if self.start_from is not None:
            content = Path(self.start_from).read_bytes()
            found["start_from"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return found


RECIPES = Recipes(SearchRecipe, __package__, "recipe of a search", "recipes")
names, load, parse = RECIPES.names, RECIPES.load, RECIPES.parse
