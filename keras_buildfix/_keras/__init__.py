"""All that is known of the inside of Keras: no other part of the package uses a private name of it."""
