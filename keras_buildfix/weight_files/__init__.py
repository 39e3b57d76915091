"""Files of weights: reads and writes each format. Knows no Keras."""
