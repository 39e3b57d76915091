"""A layer whose build() is skipped, and the one line that brings it back, on the Keras that is here.

    python examples/skipped_build.py

Needs nothing but Python and pip: without a Keras it puts a light one (Keras 3.9 on JAX, where most
built-ins are affected) into the folder .demo beside this checkout, and runs there.
"""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".demo"


def main():
    """Prints the weights of three layers, plain and mended."""
    sys.path.insert(0, str(ROOT))
    from keras_buildfix import deferred_build, keras_info, skipped_builds

    keras = __import__(keras_info().package)
    info = keras_info(keras)
    layers = keras.layers

    def subclass(base):
        class Scaled(base):
            def build(self, input_shape):
                self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
                super().build(input_shape)

            def call(self, x):
                return super().call(x) * self.scale[-1]

        Scaled.__name__ = Scaled.__qualname__ = f"Scaled{base.__name__}"
        return Scaled

    def weights(cls, *args):
        shape = (8, 8, 3)
        model = keras.Sequential([layers.InputLayer(shape)])
        try:
            model.add(cls(*args))
        except AttributeError as error:
            return f"{type(error).__name__}"
        return str(len(model.weights))

    print(f"\nWeights of Sequential([Input, layer]), one is right, on {info}:\n")
    print(f"{'layer':24}{'plain Keras':>16}{'@deferred_build':>18}")
    broken = []
    for base, args in ((layers.MaxPooling2D, (2,)), (layers.Softmax, ()), (layers.Reshape, ((64, 3),))):
        plain, mended = subclass(base), deferred_build(subclass(base))
        print(f"{plain.__name__:24}{weights(plain, *args):>16}{weights(mended, *args):>18}")
        broken += skipped_builds(plain)
    print()
    for finding in broken:
        print(finding)
    if not broken:
        print("This Keras skips none of these builds; keras-buildfix leaves the classes as they are.")


def prepare():
    """Sees to it that there is a Keras: the one that is here, or a light one in .demo."""
    for package in ("keras", "tf_keras"):
        if importlib.util.find_spec(package) and importlib.util.find_spec("packaging"):
            backends = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
            if backends and "KERAS_BACKEND" not in os.environ:
                os.environ["KERAS_BACKEND"] = backends[0]
            if backends:
                return
    python = DEMO / ("Scripts" if os.name == "nt" else "bin") / "python"
    if Path(sys.prefix) == DEMO:
        raise SystemExit(f"The Keras in {DEMO} can't be used: remove that folder and run this again.")
    if not python.exists():
        print(f"No Keras here: putting keras 3.9 and jax into {DEMO} (about 640 MB, under a minute).", flush=True)
        venv.create(DEMO, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "-qq", str(ROOT), "keras~=3.9.2", "jax>=0.4.30"], check=True)
    raise SystemExit(subprocess.run([str(python), *sys.argv]).returncode)


if __name__ == "__main__":
    prepare()
    main()
