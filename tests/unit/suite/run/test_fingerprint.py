"""Fingerprints change with all that a result depends on, and with nothing else."""

from notebook_files import cell

from greenai_nb.lesson import project
from greenai_nb.suite.run.fingerprint import fingerprint

NO_PROFILE: dict = {}


def test_the_fingerprint_sees_code_parameters_every_imported_module_and_its_tables(tmp_path):
    package = tmp_path / "greenai_nb"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from greenai_nb import b\n")
    (package / "b.py").write_text("x = 1\n")
    (package / "c.py").write_text("y = 1\n")
    content = {"cells": [cell("from greenai_nb.a import something"), cell("prose", "markdown")]}

    def mark(parameters=NO_PROFILE, others=()):
        return fingerprint(content, parameters, tmp_path, others)

    first = mark()
    (package / "c.py").write_text("y = 2\n")
    content["cells"][1]["source"] = "other prose"
    assert mark() == first
    assert mark({"n": 1}) != first and mark(others=["lock"]) != first
    (package / "b.py").write_text("x = 2\n")
    assert mark() != first
    second = mark()
    (package / "tables").mkdir()
    (package / "tables" / "t.csv").write_text("z\n1\n")
    third = mark()
    assert third != second
    (package / "tables" / "t.csv").write_text("z\n2\n")
    assert mark() != third
    content["cells"][0]["source"] += "\n1"
    assert mark() != third


def test_where_there_are_notebooks_alone_the_package_that_runs_counts(tmp_path):
    content = {"cells": [cell("from greenai_nb import checks")]}
    here = fingerprint(content, NO_PROFILE, project.root())
    assert fingerprint(content, NO_PROFILE, tmp_path) == here
    (tmp_path / "greenai_nb").mkdir()
    assert fingerprint(content, NO_PROFILE, tmp_path) != here
