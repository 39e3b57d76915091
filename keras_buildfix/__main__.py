"""Runs the command line: ``python -m keras_buildfix``."""

from keras_buildfix.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
