"""The benchmark runner."""

import importlib
import io
import json
import subprocess
import sys
import types

import pytest
from rich.console import Console

from benchmarks import __main__ as runner


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the runner over benchmarks of the test's own."""
    modules = {}
    monkeypatch.setattr(runner, "names", lambda: sorted(modules))
    monkeypatch.setattr(
        runner.importlib,
        "import_module",
        lambda name: types.SimpleNamespace(run=modules[name.rpartition(".")[2]]),
    )
    output = io.StringIO()
    results = tmp_path / "results" / "latest.json"

    def call(*arguments, **benchmarks):
        modules.update(benchmarks)
        console = Console(file=output, width=120)
        return runner.main(list(arguments), console=console, results=results)

    call.output, call.results = output, results
    return call


def broken():
    raise RuntimeError("no disk")


def test_numbers_are_merged_and_shown(run):
    assert run("one", one=lambda: {"one_s": 1}, two=lambda: {"two_s": 2.5}) == 0
    assert json.loads(run.results.read_text()) == {"one_s": 1.0}
    assert run("two") == 0
    assert run("one", one=lambda: {"one_s": 7}) == 0
    assert json.loads(run.results.read_text()) == {"one_s": 7.0, "two_s": 2.5}
    assert "two_s" in run.output.getvalue()


def test_one_that_fails_does_not_stop_the_others(run, capsys):
    assert run(a=broken, b=lambda: {"b_s": 1.0}) == 1
    assert json.loads(run.results.read_text()) == {"b_s": 1.0}
    assert "no disk" in capsys.readouterr().err
    assert "failed" in run.output.getvalue()


def test_an_unknown_name_lists_the_known(run, capsys):
    assert run("nope", one=dict) == 2
    assert "one" in capsys.readouterr().err
    assert not run.results.exists()


def test_a_damaged_results_file_is_begun_anew(run):
    run.results.parent.mkdir()
    run.results.write_text("{")
    assert run("one", one=lambda: {"one_s": 1}) == 0
    assert json.loads(run.results.read_text()) == {"one_s": 1.0}


def test_every_benchmark_says_what_it_measures():
    found = runner.names()
    assert "simulator" in found
    for name in found:
        module = importlib.import_module(f"benchmarks.{name}")
        assert module.__doc__
        assert callable(module.run)


def measured(name):
    """The numbers of a benchmark at its tiny size, run by itself: it makes a database of its own."""
    code = f"import json, sys; from benchmarks import {name}; json.dump({name}.run({name}.TINY), sys.stdout)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=runner.HERE.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_fleet_is_counted_on_both_sides():
    numbers = measured("fleet")
    assert numbers["fleet_items"] > 500
    # A page holds 100: nobody asks less.
    assert numbers["requests_per_1000_items"] >= 10
    assert numbers["usual_requests_per_1000_items"] > numbers["requests_per_1000_items"]
    assert numbers["fleet_missed_items"] == numbers["fleet_missed_approved_late"]


@pytest.mark.slow
def test_the_whole_path_is_gone_both_ways():
    numbers = measured("pipeline")
    assert numbers["pipeline_items"] > 500
    assert numbers["pipeline_matches_per_item"] > 0
    assert numbers["pipeline_vs_usual"] > 0
