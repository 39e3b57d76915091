"""What the package knows of the inside of Keras: no other folder uses a private name of Keras.

A docstring here names the private names that a function uses, each with the Keras releases that have it, such as
"``_tracker``: 3.0.0 to nightly". A branch can go when no supported release needs it any more.
"""
