"""Methods: what is compared. One file each.

A file in this folder that puts a `Method` into `METHODS` is all that a new one takes.
Every method gets the same number of epochs, except "unpruned", which is the search of
IUNet and nothing else, as in the paper, and "ntt", which transfers without labels
first. A method with a search trains for `search_epochs`, is pruned, usually rewound,
and trains for `finetune_epochs`; the others train for the sum.
"""

import importlib
import pkgutil

from keras_invprune_lab.methods.other_scores import add_other_scores

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
add_other_scores()
