"""The weights of layers and models: reading, setting, loading, saving, sharing and comparing them."""
