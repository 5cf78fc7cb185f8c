"""An engine directory made into another one: the language model's other form. No checkpoint, torch or onnx."""
