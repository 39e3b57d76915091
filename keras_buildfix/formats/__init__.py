"""File formats of weights, one module each: arrays only, read on demand. None of them knows Keras."""
