"""What every example here uses: a loop that runs its functions and prints a line for each, and tensors as arrays."""

import numpy as np


def run(forms):
    """Runs the forms; each checks itself. A form that can't run on this backend returns the reason."""
    for form in forms:
        try:
            said = form() or "works"
        except NotImplementedError as error:  # Keras can't train on numpy
            said = f"can't run here: {error}"
        print(f"{form.__name__.replace('_', ' ')}: {said}", flush=True)


def as_numpy(tensor):
    """A tensor of any backend as an array; one of torch must be told that its gradient is not wanted."""
    return np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor)
