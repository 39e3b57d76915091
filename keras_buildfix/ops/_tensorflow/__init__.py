"""The functions of ``ops`` over TensorFlow, for Keras 2 and tf_keras: one file a kind, each with ``OPERATIONS``.

They call only functions that TensorFlow dispatches on symbolic tensors of Keras 2, so that they work in functional
models too: ``tf``, ``tf.math``, ``tf.nn``, ``tf.linalg``, ``tf.image``, ``tf.signal``; not ``tf.experimental.numpy``.
"""
