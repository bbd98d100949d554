"""Neural tangent transfer: sparse networks that train like the dense one."""

from keras_invprune.pruning.tangent.kernel import tangent_kernel
from keras_invprune.pruning.tangent.settings import TransferSettings
from keras_invprune.pruning.tangent.transfer import neural_tangent_transfer

__all__ = ["TransferSettings", "neural_tangent_transfer", "tangent_kernel"]
