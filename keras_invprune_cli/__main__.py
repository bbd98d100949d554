"""python -m keras_invprune_cli: the same as keras-invprune."""

from keras_invprune_cli.main import main

main()
