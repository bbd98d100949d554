"""python -m keras_invprune_lab.cli: the same as keras-invprune."""

from keras_invprune_lab.cli.main import main

main()
