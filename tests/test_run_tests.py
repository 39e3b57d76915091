"""run_tests.py and the demo: what they say, what they take, and how they end. On few environments: no Keras is used."""

import importlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import planning
import pytest
import reporting

ROOT = Path(__file__).resolve().parents[1]
#: run_tests.py with a tox that this test brings, and with folders of its own.
DRIVER = """
import pathlib, sys
sys.path[:0] = [{root!r}]
import run_tests
run_tests.installed_tox = lambda: pathlib.Path(sys.executable)
run_tests._built_wheel = lambda: pathlib.Path("none.whl")
run_tests.REPORTS, run_tests.FILES = pathlib.Path("reports").resolve(), pathlib.Path("files").resolve()
run_tests.TOLD_EVERY, run_tests.PATIENCE = 0.3, 1
run_tests.planning.python_for = lambda name, here: {pythons!r}.get(name, "3.11")
run_tests._fetch_pythons = lambda plan: None
raise SystemExit(run_tests.main(sys.argv[1:]))
"""
#: Stands in for tox: it notes what it was asked, then does what `body` says, for the environment `name`.
TOX = """
import os, pathlib, signal, subprocess, sys, time
os.chdir({folder!r})
name = sys.argv[sys.argv.index("-e") + 1]
pathlib.Path("calls").open("a").write(name + " " + os.environ.get("KERAS_BUILDFIX_PYTHON", "own") + "\\n")
progress = pathlib.Path(os.environ["KERAS_BUILDFIX_PROGRESS"])
def report(passed, failed=0):
    cases = "<testcase classname='tests.test_x' time='1'/>" * (passed + failed)
    suite = f"<testsuite tests='{{passed + failed}}' failures='{{failed}}' time='2'>{{cases}}</testsuite>"
    pathlib.Path(os.environ["KERAS_BUILDFIX_REPORTS"], name + ".xml").write_text(suite)
{body}
"""


def cli(*words, **env):
    command = [sys.executable, str(ROOT / "run_tests.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **env})


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts run_tests.py with a tox of which the body is given."""
    for variable in ("KERAS_BUILDFIX_PYTHON", "KERAS_BUILDFIX_READ", "KERAS_BUILDFIX_FULL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    started = []

    def start(body, *words, pythons=()):
        (tmp_path / "tox.py").write_text(TOX.format(folder=str(tmp_path), body=textwrap.dedent(body)))
        (tmp_path / "driver.py").write_text(DRIVER.format(root=str(ROOT), pythons=dict(pythons)))
        command = [sys.executable, "driver.py", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started.append(subprocess.Popen(command, cwd=tmp_path, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate()


def ended(process):
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


def test_a_wrong_name_gets_the_nearest_ones_and_the_list():
    done = cli("keras3.7-jax", "keras3.6-jax", "nonsense")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.search(
        r"^No environment is called 'keras3.7-jax'. The nearest: .*keras3.6-jax", done.stderr, re.MULTILINE
    )
    assert "No environment is called 'nonsense'.\n" in done.stderr
    assert set(planning.known()) <= {*done.stderr.split()}


def test_help_and_list_are_its_own():
    shown, listed = cli("--help"), cli("--list")
    assert (shown.returncode, listed.returncode) == (0, 0)
    assert "python run_tests.py NAME ..." in shown.stdout
    assert "tox run" not in shown.stdout
    assert set(planning.known()) <= {*listed.stdout.split()}


def test_words_name_environments():
    assert planning.chosen([]) == planning.quick()
    assert planning.chosen(["keras3.6-jax", "lint", "keras3.6-jax"]) == ["keras3.6-jax", "lint"]
    everything = [name for names in planning.labels().values() for name in names]
    assert planning.chosen(["all"]) == planning.chosen(["full"]) == everything
    assert len(everything) > 45


@pytest.mark.parametrize(
    ("name", "pythons"),
    [
        ("keras2.15-tensorflow", ["3.11", "3.10", "3.9"]),
        ("keras3.0-tensorflow", ["3.11", "3.12", "3.10", "3.9"]),
        ("keras3.6-jax", ["3.11", "3.12", "3.13", "3.10", "3.9"]),
        ("keras3.9-torch", ["3.11", "3.12", "3.13", "3.10"]),
        ("keras3.10-tensorflow", ["3.11", "3.12", "3.13", "3.10", "3.9"]),
        ("keraslatest-jax", ["3.11", "3.12", "3.13"]),
        ("py39-keras2.12-tensorflow", ["3.9"]),
        ("downstream-own-keraslatest-tensorflow", ["3.11"]),
    ],
)
def test_an_environment_runs_on_the_pythons_that_its_pins_have_wheels_for(name, pythons):
    assert planning.pythons_of(name) == pythons
    assert [planning.python_for(name, [python]) for python in pythons] == pythons
    assert planning.python_for(name, ["3.8"]) is None


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_any_one_python_runs_most_of_the_quick_slice(python):
    left_out = [name for name in planning.quick() if planning.python_for(name, [python]) is None]
    assert left_out in ([], ["keras2.15-tensorflow"], ["keraslatest-tensorflow"])


def test_our_own_tox_ini_has_no_table_of_pins():
    """What belongs to a Keras comes from keras_buildfix/matrix.py, through the plugin in toxfile.py."""
    for name in [*planning.labels()["matrix"], *planning.labels()["downstream"]]:
        factors = planning.matrix.parse(name)
        assert factors is not None, name
        assert not planning.matrix.impossible(*factors), name
    lines = (ROOT / "tox.ini").read_text("utf-8").splitlines()
    pinned = re.compile(r"(tf_)?keras(-nightly)?\W*[~=<>]=|(tensorflow|jax|torch)[-\w]*\W*[~=<>]=|KERAS_HOME|LEGACY")
    assert [line.strip() for line in lines if pinned.search(line)] == ["downstream-decomon: tensorflow-cpu~=2.16.1"]
    assert {"tox_add_env_config", "tox_before_run_commands"} <= {
        *re.findall(r"tox_\w+", (ROOT / "toxfile.py").read_text())
    }


def test_the_python_that_runs_this_is_found():
    here = ".".join(map(str, sys.version_info[:2]))
    assert here in planning.interpreters("")
    assert here in planning.interpreters(planning.search_path())


def test_each_environment_has_a_recorded_time():
    recorded = json.loads(planning.RECORDED.read_text("utf-8"))
    assert {*planning.known()} - {*recorded} == {"bench"}
    each = planning.seconds(planning.quick())
    assert all(planning.seconds(each, full=True)[name] > seconds for name, seconds in each.items())
    assert planning.together({"a": 100.0, "b": 10.0}) == 100
    assert planning.together(dict.fromkeys("abcdef", 30.0)) == 60


def test_the_tests_tell_how_far_they_are(tmp_path):
    file = tmp_path / "progress"
    assert reporting.progress(file) is None
    (tmp_path / "test_x.py").write_text(
        "import os\ndef test_a(): assert 'KERAS_BUILDFIX_PROGRESS' not in os.environ\ndef test_b(): assert False\n"
    )
    # As the environment `types`, whose tests import no Keras.
    env = {**os.environ, "KERAS_BUILDFIX_PROGRESS": str(file), "KERAS_BUILDFIX_ENV": "types"}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest", "test_x.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert reporting.progress(file) == (2, 2, 1)


def test_it_tells_what_it_will_do_how_far_it_is_and_what_came_of_it(start):
    process = start(
        """
        progress.write_text("4\\n..")
        time.sleep(1)
        report(4)
        """,
        "keras3.6-jax",
        "keras3.9-jax",
        pythons={"keras3.9-jax": "3.13"},
    )
    code, printed = ended(process)
    assert code == 0, printed
    assert re.search(r"^To run: 2 of 2, 3 at a time, in about \d+ min\.$", printed, re.MULTILINE)
    assert re.search(r"^\[ 0:00\] keras3.9-jax starts on Python 3.13", printed, re.MULTILINE)
    assert re.search(r"keras3.6-jax 2 of 4 tests.*; 0 of 2 environments done, .* left$", printed, re.MULTILINE)
    assert re.search(r"^\[ 0:0\d\] keras3.6-jax: 4 passed in \d s$", printed, re.MULTILINE)
    assert "8 passed, 0 failed, 0 skipped" in printed


def test_the_tests_are_told_which_python_was_taken_instead_of_their_own(start, tmp_path):
    pythons = {"keras3.9-jax": "3.13", "py39-keras3.10-jax": "3.9"}
    code, printed = ended(start("report(1)", "keras3.6-jax", *pythons, pythons=pythons))
    assert code == 0, printed
    assert sorted((tmp_path / "calls").read_text().splitlines()) == [
        "keras3.6-jax own",
        "keras3.9-jax 3.13",
        "py39-keras3.10-jax own",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("report(3, failed=1); print('== FAILURES =='); sys.exit(1)", "FAILED: 3 passed, 1 failed"),
        ("print('no network'); sys.exit(1)", "left no report"),
        ("report(0)", "ran no test"),
        ("report(2); sys.exit(3)", "FAILED: 2 passed"),
    ],
)
def test_what_is_not_as_it_should_be_fails(start, body, said):
    code, printed = ended(start(body, "keras3.6-jax"))
    assert code == 1, printed
    assert f"keras3.6-jax: {said}" in printed
    assert "1 of 1 environments failed: keras3.6-jax" in printed
    assert "no network" not in body or "    no network" in printed


def test_what_could_not_be_installed_starts_once_more(start, tmp_path):
    body = """
    if pathlib.Path("calls").read_text().count(name) == 1:
        raise SystemExit("no answer from the index")
    progress.write_text("1\\n.")
    report(1)
    """
    code, printed = ended(start(body, "keras3.6-jax"))
    assert code == 0
    assert "keras3.6-jax ended before its first test, and starts once more" in printed
    assert "no answer from the index" in printed
    assert "1 passed, 0 failed" in printed
    code, printed = ended(start("raise SystemExit(3)", "keras3.9-torch"))
    assert code == 1
    assert (tmp_path / "calls").read_text().count("keras3.9-torch") == 2
    assert "left no report" in printed


def test_all_runs_everything_three_at_a_time_and_the_nightly_before_those_that_read_its_files(start, tmp_path):
    process = start(
        """
        lock = pathlib.Path("running"); lock.mkdir(exist_ok=True)
        (lock / name).touch()
        assert len(list(lock.iterdir())) <= 3
        time.sleep(0.1)
        report(1)
        (lock / name).unlink()
        pathlib.Path("ended").open("a").write(name + " " + os.environ["KERAS_BUILDFIX_READ"] + "\\n")
        """,
        "all",
    )
    code, printed = ended(process)
    assert code == 0, printed
    order = [line.split()[0] for line in (tmp_path / "ended").read_text().splitlines()]
    assert sorted(order) == sorted(planning.chosen(["all"]))
    begun = [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    nightlies = ["kerasnightly-tensorflow", "kerasnightly-jax", "kerasnightly-torch"]
    assert {*begun[:3]} == {*nightlies}
    readers = [name for name, before in planning.first_of(order).items() if before]
    assert len(readers) == 6
    assert all(order.index(name) > max(map(order.index, nightlies)) for name in readers)


@pytest.mark.parametrize("code", [0, 1])
def test_full_runs_kerass_own_tests_where_they_are(monkeypatch, code):
    monkeypatch.syspath_prepend(str(ROOT))
    run_tests = importlib.import_module("run_tests")
    calls = []

    def call(command):
        calls.append(command)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(run_tests, "subprocess", types.SimpleNamespace(run=call))
    assert run_tests._keras_own_tests(["keras3.12-jax", "keras3.9-jax", "keraslatest-torch"]) == code
    (command,) = calls
    assert Path(command[1]).exists()
    assert [Path(word).name for word in command[3:]] == ["--env", "keras3.9-jax", "--tests-from", "keras3.12-jax"]


def test_what_was_named_and_cannot_be_run_is_an_error_before_anything_runs(start, tmp_path):
    process = start("report(1)", "keras3.6-jax", "keras3.9-jax", pythons={"keras3.9-jax": None})
    code, printed = ended(process)
    assert code == 2
    assert re.search(r"keras3.9-jax +needs Python 3.9, 3.10, 3.11, 3.12 or 3.13, not here", printed)
    assert printed.endswith("Nothing was run: leave these out, or install a Python that they need.\n")
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_that_was_started(start, tmp_path, number):
    process = start(
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ticks = "import time; [(print(flush=True), time.sleep(0.1)) for _ in range(500)]"
        subprocess.run([sys.executable, "-c", ticks], stdout=open("ticks", "w"))
        """,
        "keras3.6-jax",
    )
    file = tmp_path / "ticks"
    until = time.monotonic() + 30
    while not (file.exists() and file.stat().st_size):
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    code, printed = ended(process)
    assert code == 128 + number
    assert printed.endswith("have ended. Run it again to start from the beginning.\n")
    assert "Traceback" not in printed
    size = file.stat().st_size
    time.sleep(1)
    assert file.stat().st_size == size


#: What pip says without a network, shortened.
PIP_SAYS = """
import sys, time
print("  WARNING: Retrying (Retry(total=1)) after connection broken", flush=True)
time.sleep(0.5)
print("  ERROR: No matching distribution found for hatchling")
sys.exit(1)
"""


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The demo as a module, on a machine without Keras, with its folder elsewhere and a pip without a network."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "skipped_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    follow = module.follow
    monkeypatch.setattr(module, "DEMO", tmp_path / "demo")
    monkeypatch.setattr(module, "follow", lambda command, begun: follow([sys.executable, "-c", PIP_SAYS], begun))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return module


def test_the_demo_tells_in_a_line_that_there_is_no_network_and_starts_anew_what_was_cut_off(demo, capsys):
    demo.DEMO.mkdir()
    (demo.DEMO / "half").touch()
    with pytest.raises(SystemExit) as raised:
        demo.prepare()
    printed = capsys.readouterr().out
    first = printed.splitlines()[0]
    assert first.startswith("No Keras is installed here. Installing keras~=3.9.2 and jax>=0.4.30,<0.6.1 into ")
    assert first.endswith(", again, as it is not complete.")
    assert "The network does not answer; pip tries again" in printed
    said = str(raised.value)  # Python prints it on stderr and ends with 1
    assert said.startswith("The install failed: No matching distribution found for hatchling. Is there a network? ")
    assert "\n" not in said
    assert [path.name for path in demo.DEMO.iterdir()] == ["install.log"]


def test_the_demo_says_which_python_it_needs(demo, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(SystemExit, match=r"needs Python 3.9 to 3.13; this is 3.14. Run it with one of those."):
        demo.prepare()
    assert not demo.DEMO.exists()
