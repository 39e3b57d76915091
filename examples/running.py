"""Runs the functions of an example one after another, and prints a line for each. Every example uses this file."""


def run(forms):
    """Runs the forms; each checks itself. A form that can't run on this backend returns the reason."""
    for form in forms:
        try:
            said = form() or "works"
        except NotImplementedError as error:  # Keras can't train on numpy
            said = f"can't run here: {error}"
        print(f"{form.__name__.replace('_', ' ')}: {said}", flush=True)
