"""What a Keras model is: weights, inputs, layouts, copies, operations.

Nothing here knows how masks are made, or about training.
"""
