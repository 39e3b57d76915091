"""Files of weights that each environment of the matrix wrote once: a pinned release writes the same for ever.

They lie in one archive: each content once, under its hash, and an index of who wrote what. What is left out
of the comparison is when a file was written. ``tools/record_weight_files.py`` packs them.
"""

import atexit
import functools
import hashlib
import io
import json
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple, Optional

ARCHIVE = Path(__file__).parent / "data" / "weight_files.tar.xz"
#: Those that plain Keras writes are recorded, and what the model gives.
RECORDED = (".h5", ".w.h5", ".weights.h5", ".keras", ".npy")


class Written(NamedTuple):
    """A file, if there is one, and the error of its writer, if there was one: then the file may be half."""

    path: Optional[str]
    error: Optional[str]


def of_folder(folder):
    """What an environment wrote: name of a file -> `Written`."""
    names = {path.name[: -len(".error")] if path.suffix == ".error" else path.name for path in folder.iterdir()}
    found = {}
    for name in sorted(names):
        path, error = folder / name, folder / f"{name}.error"
        found[name] = Written(
            str(path) if path.exists() else None, error.read_text("utf-8") if error.exists() else None
        )
    return found


@functools.cache
def recorded():
    """What is in the archive: environment -> name of a file -> `Written`."""
    folder = tempfile.mkdtemp(prefix="weight_files")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with lzma.open(ARCHIVE) as data, tarfile.open(fileobj=io.BytesIO(data.read())) as archive:
        for member in archive:
            Path(folder, member.name).write_bytes(archive.extractfile(member).read())
    index = json.loads(Path(folder, "index.json").read_text("utf-8"))
    return {
        writer: {name: Written(file and f"{folder}/{file}", error) for name, (file, error) in files.items()}
        for writer, files in index.items()
    }


def pack(folders):
    """Packs what environments wrote into the archive, in place of what it has of them; the others stay."""
    written = {**(recorded() if ARCHIVE.exists() else {}), **{folder.name: of_folder(folder) for folder in folders}}
    index, contents = {}, {}
    for writer, files in sorted(written.items()):
        for name, (path, error) in files.items():
            form = name[name.index(".") :]
            if form not in RECORDED:
                continue
            file = None
            if path:
                data = undated(Path(path).read_bytes())
                file = f"{hashlib.sha256(data).hexdigest()[:16]}{form}"
                contents[file] = name, data
            index.setdefault(writer, {})[name] = file, error
    contents["index.json"] = "", json.dumps(index, indent=0, sort_keys=True).encode()
    ARCHIVE.parent.mkdir(exist_ok=True)
    with lzma.open(ARCHIVE, "wb", preset=9 | lzma.PRESET_EXTREME) as data, tarfile.open(fileobj=data, mode="w") as tar:
        for file, (_, content) in sorted(
            contents.items(), key=lambda each: (each[1][0], each[0])
        ):  # alike ones together
            member = tarfile.TarInfo(file)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return len(index), len(contents), ARCHIVE.stat().st_size


def undated(data):
    """A zip of Keras's without the moments in it; other files as they are."""
    if not data.startswith(b"PK"):
        return data
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for info in old.infolist():
            member = old.read(info)
            if info.filename == "metadata.json":
                member = re.sub(rb'("date_saved": ")[^"]*', rb"\g<1>2026-01-01@00:00:00", member)
            new.writestr(zipfile.ZipInfo(info.filename), member)
    return file.getvalue()
