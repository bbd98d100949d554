"""CHT: connections grow where the topology of the network predicts links."""

import numpy as np

from keras_invprune.contracts import Arrays, Score, ScoreContext, Tensor
from keras_invprune.graph.layouts import layouts
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.scores._known import known_as
from keras_invprune.scores._rewiring import chances, check_fraction, moved, survivors


@known_as("cht")
class CHT(Score):
    """Drops connections of the smallest magnitude, grows by link prediction.

    Each weight is a bipartite graph of its inputs and outputs. A missing link (u, v)
    scores the more, the more the nodes on its paths of length three are linked to each
    other, and the less to others (CH2-L3n). Only masks are read: neither data nor
    gradients. With ``schedule=Rewire(...)`` and ``allocation="erk"``; the first masks
    are random. What grows begins at zero. Each position of a convolution's kernel is a
    graph of its own. Under a pattern blocks or units move.

    Args:
        fraction: ζ, the share of a weight's connections to move at each renewal.
        sampled: True draws what grows with chances in proportion to the scores (the
            soft rule, CHTs), False takes the highest scores (CHT).
        seed: Integer, of the first masks and of the draws.

    Source:
        Zhang et al. 2025, Brain network science modelling of sparse neural networks
        (2501.19107), appendix C: the node-based link predictor CH2-L3n, with sampled
        regrowth. Its sampled removal and its bipartite receptive fields are left out.
    """

    rewires = True
    suits = {"schedule": "rewire", "allocation": "erk"}

    def __init__(self, fraction: float = 0.3, sampled: bool = True, seed: int = 0):
        self.fraction = check_fraction(fraction)
        self.sampled = bool(sampled)
        self.seed = seed

    def rank(self, weights: Arrays, context: ScoreContext):
        """Returns ``{key: array}``; low scores are pruned first."""
        chance = chances(weights, self.seed, context.step)
        if not context.moving:
            return chance
        share = self.fraction * context.decay
        left = survivors(weights, share, context)
        views = layouts(weights_by_key(context.network), left)
        growth = {}
        for key, mask in left.items():
            scores = views[key].arrange(mask) if key in views else mask
            scores = link_scores(scores)
            if key in views:
                scores = views[key].restore(scores, mask.shape)
            growth[key] = _drawn(scores, chance[key]) if self.sampled else scores
        return moved(weights, growth, share, context)


def link_scores(mask: Tensor) -> np.ndarray:
    """Returns the CH2-L3n score of each missing link of bipartite graphs.

    Args:
        mask: Array [..., inputs, outputs], which links there are.

    Returns:
        float32 of the same shape, 0 where there is no path of length three. Numbers at
        places of links have no meaning.
    """
    links = np.asarray(mask, np.float32)
    turned = np.swapaxes(links, -1, -2)
    # Σ_b (1 + di_b) / (1 + de_b) over the outputs linked to u, then the inputs to v
    return links @ _community(turned @ links, turned.sum(-1)) + np.swapaxes(
        turned @ _community(links @ turned, links.sum(-1)), -1, -2
    )


def _community(shared, degrees):
    """Returns for nodes z and w of one side ``(1 + di_z) / (1 + de_z)``.

    z is linked to the one end of the missing link and w is the other end: di_z of its
    links go to neighbors of w, one to the end itself, and the rest, de_z, elsewhere.
    """
    outside = degrees[..., :, None] - shared
    known = (shared > 0) & (outside > 0)
    return np.divide(1 + shared, outside, out=np.zeros_like(shared), where=known)


def _drawn(scores, chance):
    """Returns keys whose largest k are k draws without replacement, by the scores."""
    weights = scores + 1e-6 * max(scores.max(initial=0), 1e-6)
    return weights / (weights - np.log(1 - chance))  # an exponential race
