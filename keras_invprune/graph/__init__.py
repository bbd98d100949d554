"""What a Keras model is: weights, inputs, layouts, copies, operations.

Neither masks nor training are known here.
"""
