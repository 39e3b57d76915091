"""Checks what ``keras-buildfix matrix`` prints for GitHub and GitLab against the schemas of such files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The form, and the schema that check-jsonschema brings for it.
FORMS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def main() -> int:
    """Checks both forms, with all environments; returns 1 if one is wrong."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for form, schema in FORMS.items():
            file = Path(folder, f"{form}.yml")
            command = [sys.executable, "-m", "keras_buildfix", "matrix", "--format", form]
            file.write_text(
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout, "utf-8"
            )
            wrong |= subprocess.run(
                [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, file]
            ).returncode
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
