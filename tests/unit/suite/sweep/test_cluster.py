"""What workers compare before a sweep starts."""

from notebook_files import RECORD, cell, write_notebook

from greenai_nb.lesson import project
from greenai_nb.suite.sweep import cluster


def test_checkouts_are_compared_for_notebooks_that_read_paths_too(small_project, monkeypatch):
    monkeypatch.setattr(project, "root", lambda: small_project)
    given = cell('where: str = ""  # folder with images; empty for none', tags=("parameters",))
    path = small_project / "notebooks" / "04_reads.ipynb"
    write_notebook(path, given, RECORD)
    first = cluster.checkout("04_reads")
    assert first == cluster.checkout("04_reads")
    write_notebook(path, given, RECORD, cell("1 + 1"))
    assert first != cluster.checkout("04_reads")
