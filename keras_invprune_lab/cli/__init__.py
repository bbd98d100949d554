"""The command line. A package of its own, so that --help need not load TensorFlow."""
