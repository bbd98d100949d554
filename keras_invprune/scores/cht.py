"""CHT: connections grow where the topology of the network predicts links."""

import numpy as np

from keras_invprune.contracts import Arrays, Score, ScoreContext, Tensor
from keras_invprune.scores._known import known_as
from keras_invprune.scores._rewiring import chances, check_fraction, moved, survivors


@known_as("cht")
class CHT(Score):
    """Drops connections of the smallest magnitude and grows others by link prediction.

    Each weight is a bipartite graph of its inputs and outputs. The score of a missing
    link (u, v) is high if the nodes on its paths of length three have many links with
    one another and few with other nodes (CH2-L3n). It depends only on the masks, not on
    data or gradients. Use it with ``schedule=Rewire(...)`` and ``allocation="erk"``.
    The first masks are random; connections that grow start at zero. Each position of a
    convolution kernel is a separate graph. Under a pattern, whole blocks or units move.

    Args:
        fraction: ζ, the share of a weight's connections to move at each update, in
            (0, 1).
        sampled: True draws the connections to grow with probabilities proportional to
            the scores (the soft rule, CHTs). False takes the highest scores (CHT).
        seed: Integer seed of the first masks and of the draws.

    Source:
        Zhang et al. 2025, Brain network science modelling of sparse neural networks
        (2501.19107), appendix C: the node-based link predictor CH2-L3n, with sampled
        regrowth. Sampled removal and bipartite receptive fields are not implemented.
    """

    rewires = True
    suits = {"schedule": "rewire", "allocation": "erk"}

    def __init__(self, fraction: float = 0.3, sampled: bool = True, seed: int = 0):
        self.fraction = check_fraction(fraction)
        self.sampled = bool(sampled)
        self.seed = seed

    def rank(self, weights: Arrays, context: ScoreContext) -> Arrays:
        """Return ``{key: array}``; low scores are pruned first."""
        chance = chances(weights, self.seed, context.step)
        if not context.moving:
            return chance
        share = self.fraction * context.decay
        left = survivors(weights, share, context)
        views = context.layouts
        growth = {}
        for key, mask in left.items():
            scores = views[key].arrange(mask) if key in views else mask
            scores = link_scores(scores)
            if key in views:
                scores = views[key].restore(scores, mask.shape)
            growth[key] = _drawn(scores, chance[key]) if self.sampled else scores
        return moved(weights, growth, share, context)


def link_scores(mask: Tensor) -> np.ndarray:
    """Return the CH2-L3n score of each missing link of bipartite graphs.

    Args:
        mask: Array [..., inputs, outputs], 1 where there is a link.

    Returns:
        float32 of the same shape, 0 where there is no path of length three. Values at
        existing links have no meaning.
    """
    links = np.asarray(mask, np.float32)
    turned = np.swapaxes(links, -1, -2)
    # Σ_b (1 + di_b) / (1 + de_b) over the outputs linked to u, plus the inputs to v
    return links @ _community(turned @ links, turned.sum(-1)) + np.swapaxes(
        turned @ _community(links @ turned, links.sum(-1)), -1, -2
    )


def _community(shared: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return for nodes z and w of one side ``(1 + di_z) / (1 + de_z)``.

    z is linked to one end of the missing link, and w is the other end. Of the links of
    z, di_z go to neighbors of w, one goes to the end itself, and de_z go elsewhere.
    """
    outside = degrees[..., :, None] - shared
    known = (shared > 0) & (outside > 0)
    return np.divide(1 + shared, outside, out=np.zeros_like(shared), where=known)


def _drawn(scores: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return sort keys whose largest k are k draws without replacement, by score."""
    weights = scores + 1e-6 * max(scores.max(initial=0), 1e-6)
    return weights / (weights - np.log(1 - chance))  # an exponential race
