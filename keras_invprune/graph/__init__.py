"""What a Keras model is: weights, inputs, layouts, copies, operations.

Nothing here knows about masks or training.
"""
