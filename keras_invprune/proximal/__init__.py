"""Penalties with exact zeros: a proximal step after each step of any optimizer.

Subgradients of ‖W‖ come close to zero and never reach it. A proximal step does.
"""

from keras_invprune.graph.active import active_layers, negative_norms
from keras_invprune.proximal.base import LayerOperator, Operator
from keras_invprune.proximal.callback import ActiveLayers
from keras_invprune.proximal.l1 import L1
from keras_invprune.proximal.negative_parts import NegativeParts
from keras_invprune.proximal.optimizer import Proximal
from keras_invprune.proximal.slopes import SlopesToOne
from keras_invprune.proximal.units import UnitLasso

__all__ = [
    "L1",
    "ActiveLayers",
    "LayerOperator",
    "NegativeParts",
    "Operator",
    "Proximal",
    "SlopesToOne",
    "UnitLasso",
    "active_layers",
    "negative_norms",
]
