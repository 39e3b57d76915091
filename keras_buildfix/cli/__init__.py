"""The command ``keras-buildfix``: its commands, their parser, and how they print."""
