"""Runs a .tflite file as an app does, with named inputs and one image at a time.

    python examples/phone.py [saved_models/digits/model.tflite]

Needs `pip install '.[demo]'` for images of digits; the runtime comes with this package.
"""

import sys

from ai_edge_litert.interpreter import Interpreter

from keras_invprune_lab.data import digits

file = sys.argv[1] if len(sys.argv) > 1 else "saved_models/digits/model.tflite"
interpreter = Interpreter(model_path=file, num_threads=1)
run = interpreter.get_signature_runner("serving_default")
print("inputs:", {name: d["shape"] for name, d in run.get_input_details().items()})

data = digits()
right = 0
for image, label in zip(data.x_test, data.y_test, strict=True):
    (logits,) = run(input=image[None]).values()
    right += int(logits.argmax() == label)
print(f"{right} of {len(data.y_test)} right")
