"""The functions of ``ops`` that came after Keras 3.0, written with older ones: one file a kind, with ``OPERATIONS``.

They serve each Keras 3 that does not have them, and Keras 2.
"""
