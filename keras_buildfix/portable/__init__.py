"""``PortableLayerMixin``: layers written once, with any Keras's signatures."""
