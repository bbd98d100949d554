"""Reports what a model contains and costs, and to which changes it is invariant."""
