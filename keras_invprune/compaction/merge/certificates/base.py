"""What a certificate is: a proof that an activation is the identity where it stands."""

import abc
from dataclasses import dataclass

from keras_invprune.compaction.merge.links import Activation, Link
from keras_invprune.graph.trace import Trace
from keras_invprune.saving import Configured


@dataclass(frozen=True)
class Facts:
    """What is known of the model.

    Attributes:
        trace: The calls of the model, as merged so far.
        nonnegative: Ids of the tensors that are never negative.
    """

    trace: Trace
    nonnegative: set[int]


class Certificate(Configured, abc.ABC):
    """A proof that an activation is the identity.

    Attributes:
        name: What results call it.
        exact: Whether outputs stay the same on every input.
    """

    name: str = ""
    exact: bool = True

    @abc.abstractmethod
    def doubt(self, activation: Activation, link: Link, facts: Facts) -> str | None:
        """Return why an activation may not be the identity, or None if it is.

        Args:
            activation: A function or a Keras layer, one of ``link.activations``; the
                others of the link are proven to be the identity.
            link: Where it stands.
            facts: What is known of the model.
        """
