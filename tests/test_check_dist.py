"""What tools/check_dist.py says of an sdist and a wheel with files that are missing or do not belong."""

import io
import tarfile
import zipfile

import check_dist
import pytest

INFO = "keras_buildfix-1.dist-info/"


@pytest.fixture
def wrong(tmp_path):
    """Makes the two with files left out or added; returns what is wrong in them."""

    def check(without=(), sdist=(), wheel=()):
        package = check_dist.on_disk()
        source = {*package, *check_dist.FILES, *(f"{name}/a.py" for name in check_dist.FOLDERS - {"keras_buildfix"})}
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
            for name in sorted({*source, *sdist} - {*without}):
                archive.addfile(tarfile.TarInfo(f"keras_buildfix-1/{name}"), io.BytesIO())
        with zipfile.ZipFile(tmp_path / "keras_buildfix-1-py3-none-any.whl", "w") as archive:
            for name in sorted({*package, *(INFO + name for name in check_dist.DIST_INFO), *wheel} - {*without}):
                archive.writestr(name, "")
        return check_dist.wrong_in(tmp_path / "a.tar.gz", tmp_path / "keras_buildfix-1-py3-none-any.whl")

    return check


def test_it_says_what_is_missing_and_what_does_not_belong(wrong):
    assert wrong() == []
    assert wrong(without=["tox.ini"]) == ["sdist lacks tox.ini"]
    assert wrong(without=[f"{INFO}licenses/LICENSE"]) == [f"wheel lacks {INFO}licenses/LICENSE"]
    assert wrong(without=["keras_buildfix/py.typed"]) == ["sdist lacks keras_buildfix/py.typed"]
    assert wrong(sdist=["tests/__pycache__/a.pyc"]) == ["sdist has tests/__pycache__/a.pyc"]
    assert wrong(sdist=[".tox/a"], wheel=["tests/a.py"]) == ["sdist has .tox", "wheel has tests/a.py"]
