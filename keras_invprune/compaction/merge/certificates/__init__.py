"""Certificates: proofs that an activation is the identity. One file each.

=============== ==================================================== ========
name            what it says                                         exact
=============== ==================================================== ========
"nonnegative"   input, kernel and bias are never negative            yes
"slope"         all slopes of a PReLU are 1                          yes
`NeverNegative` nothing negative was seen on given rows              no
=============== ==================================================== ========
"""

from keras_invprune.compaction.merge.certificates.base import Certificate, Facts
from keras_invprune.compaction.merge.certificates.never_negative import NeverNegative
from keras_invprune.compaction.merge.certificates.nonnegative import Nonnegative
from keras_invprune.compaction.merge.certificates.slope import Slope

KNOWN = {"nonnegative": Nonnegative(), "slope": Slope()}

__all__ = ["KNOWN", "Certificate", "Facts", "NeverNegative", "Nonnegative", "Slope"]
