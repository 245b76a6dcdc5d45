"""The benchmark runner."""

import importlib
import io
import json
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
