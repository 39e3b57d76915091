"""Shows a layer whose build() is skipped, and the one line that makes it run, on the installed Keras.

    python examples/skipped_build.py

It needs only Python and pip. If no Keras is installed, it installs a small one into the folder .demo of this
checkout: Keras 3.9 on JAX, where most built-ins are affected. If that is interrupted, the next run does it again.
Exit code: 0 if it ran, 1 if the install failed, 130 after Ctrl-C.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".demo"
sys.path.insert(0, str(ROOT))
from keras_buildfix import matrix  # noqa: E402

#: What it installs, and the Pythons that have wheels of it.
WANTED = list(matrix.requirements("3.9", "jax"))
PYTHONS = matrix.pythons("3.9", "jax")


def main():
    """Prints how many weights three layers have, plain and with the decorator, and why."""
    from keras_buildfix import deferred_build, keras_info, skipped_builds

    print(f"Importing {keras_info()}", flush=True)
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

    print(f"\nEach of these layers makes one weight in its build(). How many weights a model of it has on {info}:\n")
    print(f"{'layer':24}{'plain Keras':>16}{'@deferred_build':>18}")
    findings = []
    for base, args in ((layers.MaxPooling2D, (2,)), (layers.Softmax, ()), (layers.Reshape, ((64, 3),))):
        plain, fixed = subclass(base), deferred_build(subclass(base))
        print(f"{plain.__name__:24}{weights(plain, *args):>16}{weights(fixed, *args):>18}")
        findings += skipped_builds(plain)
    print("\n1 is right. 0 or an error means that build() never ran.\n")
    for finding in findings:
        print(textwrap.fill(str(finding), 100, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False))
    if not findings:
        print("This Keras skips none of these builds; keras-buildfix leaves the classes as they are.")
    print("\nFor your own layer, add the import and one line above the class:\n")
    print("    from keras_buildfix import deferred_build\n")
    print(f"    @deferred_build\n    class YourLayer({info.package}.layers.MaxPooling2D):\n        ...", flush=True)


def prepare():
    """Installs a small Keras into .demo if none is installed; returns the Python that has a Keras."""
    for package in ("keras", "tf_keras"):
        if importlib.util.find_spec(package) and importlib.util.find_spec("packaging"):
            backends = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
            if backends and "KERAS_BACKEND" not in os.environ:
                os.environ["KERAS_BACKEND"] = backends[0]
            if backends:
                return sys.executable
    if Path(sys.prefix) == DEMO:
        raise SystemExit(f"The Keras in {DEMO} can't be used: remove that folder and run this again.")
    python, ready = DEMO / ("Scripts" if os.name == "nt" else "bin") / "python", DEMO / "ready"
    if not (ready.exists() and ready.read_text() == str(WANTED)):
        here = "{}.{}".format(*sys.version_info)
        if here not in PYTHONS:
            raise SystemExit(
                f"No Keras is installed here, and {WANTED[0]}, which this would install, needs Python {PYTHONS[0]} to "
                f"{PYTHONS[-1]}; this is {here}. Run it with one of those."
            )
        install(python)
        ready.write_text(str(WANTED))  # at the very end: without it the next run installs again
    return str(python)


def install(python):
    """Makes .demo, again if an earlier install was interrupted, and shows its progress."""
    again = ", again, as it is not complete" if DEMO.exists() else ""
    print(f"No Keras is installed here. Installing {' and '.join(WANTED)} into {DEMO}{again}.", flush=True)
    print("About 640 MB, in a minute or two.", flush=True)
    try:
        if DEMO.exists():
            shutil.rmtree(DEMO)
        DEMO.mkdir()
    except OSError as error:
        raise SystemExit(f"{DEMO} can't be made: {error}. Remove it and run this again.") from None
    begun = time.monotonic()
    follow([sys.executable, "-m", "venv", str(DEMO)], begun)
    # Python compiles what it imports: compiling everything would take as long as the rest.
    options = ["--disable-pip-version-check", "--no-compile"]
    os.environ.setdefault("PIP_RETRIES", "2")  # the pip that builds this package reads it too
    follow([str(python), "-m", "pip", "install", *options, *WANTED, str(ROOT)], begun)


def follow(command, begun):
    """Runs a command, shows the important lines of its output and that it still runs; one line if it fails."""
    log = DEMO / "install.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    seen, told = 0, time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(0.2)
            lines = log.read_text("utf-8", "replace").split("\n")[:-1]  # the last one is not whole yet
            for step in filter(None, map(shown, lines[seen:])):
                told = time.monotonic()
                print(f"[{told - begun:3.0f} s] {step}", flush=True)
            seen = len(lines)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"[{told - begun:3.0f} s] still installing", flush=True)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        said = log.read_text("utf-8", "replace")
        errors = [line.partition("ERROR: ")[2] for line in said.splitlines() if "ERROR: " in line]
        reason = (errors or [textwrap.shorten(said, 400)])[-1].rstrip(".")
        advice = "Is there a network? Then run it again." if errors else ""
        raise SystemExit(f"The install failed: {reason}. {advice} The whole output is in {log}")


def shown(line):
    """What to show for a line of pip's output; None if nothing."""
    words = line.split()
    if words[:1] in (["Downloading"], ["Using"]) and words[-1] == "MB)":
        return line.strip()
    if line.startswith("Installing collected packages"):
        return "Unpacking"
    return "The network does not answer; pip tries again" if "Retrying" in line else None


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        raise SystemExit(print(__doc__))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # pip must end, too
    try:
        python = prepare()
        if python == sys.executable:
            main()
        else:
            raise SystemExit(subprocess.run([python, *sys.argv]).returncode)
    except KeyboardInterrupt:
        if Path(sys.prefix) != DEMO:  # otherwise the process that started this one prints it
            print("\nStopped. Run it again to start from the beginning.", file=sys.stderr)
        raise SystemExit(130) from None
