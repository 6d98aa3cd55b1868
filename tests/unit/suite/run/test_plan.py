"""What a run is going to do, and what is refused before it does anything."""

import pytest
from notebook_files import PARAMETERS, RECORD, cell, write_notebook

from greenai_nb.checks import UsageError
from greenai_nb.suite.run import plan


def test_profiles_and_overrides_are_laid_over_the_defaults(small_project):
    walk = plan.lessons(small_project / "notebooks")
    settings = plan.read_profile(small_project / "notebooks", "ci", walk)
    jobs = plan.make(walk, settings, {"threads": "2"}, 5, small_project, small_project / "out")
    values = {job.name: dict(job.parameters) for job in jobs}
    assert values["01_works"] == {"threads": 2, "n": 3} and values["02_may_fail"]["n"] == 4
    assert [job.name for job in jobs][-1] == "90_reads"
    assert jobs[0].injected.keys() <= {"threads", "n"}


def test_settings_chosen_on_a_data_set_go_with_it_and_yield_to_those_asked_for(small_project):
    notebooks = small_project / "notebooks"
    given = cell('dataset: str = "a"  # images\nn: int = 1  # a number', tags=("parameters",))
    write_notebook(notebooks / "03_trains.ipynb", given, RECORD)
    profile = notebooks / "profiles" / "ci.yaml"
    profile.write_text("03_trains: {n: 2}\ndatasets:\n  b: {03_trains: {n: 3}}\n")
    walk = plan.lessons(notebooks)
    settings = plan.read_profile(notebooks, "ci", walk)

    def n(**asked):
        return plan.effective(walk["03_trains"], settings, asked, 1)["n"]

    assert [n(), n(dataset="a"), n(dataset="b"), n(dataset="b", n=4)] == [2, 2, 3, 4]
    profile.write_text("datasets:\n  b: {03_trains: {m: 3}}\n")
    settings = plan.read_profile(notebooks, "ci", walk)
    with pytest.raises(UsageError, match="no parameter 'm'"):
        n(dataset="b")


@pytest.mark.parametrize(
    ("overrides", "profile", "names", "said"),
    [
        ({"nn": "1"}, "ci", [], "Did you mean 'n'"),
        ({"n": "x"}, "ci", [], "expected an int"),
        ({"n": "10"}, "ci", [], r"in \[0, 9\]"),
        ({"threads": "0"}, "ci", [], r"in \[1, 64\]"),
        ({}, "tutoril", [], "Did you mean 'tutorial'"),
        ({}, "ci", ["01_work"], "Did you mean '01_works'"),
    ],
)
def test_what_cannot_be_planned_is_said_before_anything_runs(
    small_project, overrides, profile, names, said
):
    walk = plan.lessons(small_project / "notebooks")
    with pytest.raises(UsageError, match=said):
        settings = plan.read_profile(small_project / "notebooks", profile, walk)
        plan.make(plan.select(walk, names), settings, overrides, 1, small_project, small_project / "out")


def test_a_profile_that_names_no_notebook_is_refused(small_project):
    (small_project / "notebooks" / "profiles" / "ci.yaml").write_text("01_work: {n: 1}\n")
    walk = plan.lessons(small_project / "notebooks")
    with pytest.raises(UsageError, match="Did you mean '01_works'"):
        plan.read_profile(small_project / "notebooks", "ci", walk)


def test_notebooks_are_found_by_number(small_project):
    walk = plan.lessons(small_project / "notebooks")
    assert list(plan.select(walk, ["02"])) == ["02_may_fail"]


def test_a_notebook_without_one_parameters_cell_is_refused(tmp_path):
    path = write_notebook(tmp_path / "03_none.ipynb", RECORD)
    with pytest.raises(UsageError, match="0 cells tagged parameters"):
        plan.read_lesson(path)
    path = write_notebook(tmp_path / "04_two.ipynb", PARAMETERS, PARAMETERS)
    with pytest.raises(UsageError, match="2 cells tagged parameters"):
        plan.read_lesson(path)


def test_a_folder_of_images_is_part_of_a_result_and_the_name_of_a_data_set_is_no_path(
    small_project, tmp_path, monkeypatch
):
    given = cell('dataset: str = "digits"  # images: a name, or folder:PATH', tags=("parameters",))
    path = write_notebook(small_project / "notebooks" / "01_works.ipynb", given, RECORD)
    monkeypatch.chdir(tmp_path)

    def mark(dataset):
        walk = {"01_works": plan.read_lesson(path)}
        (job,) = plan.make(walk, {}, {"dataset": dataset}, 1, small_project, tmp_path)
        return job.fingerprint

    assert mark("digits") == mark("digits") != mark("folder:pets")
    pets = tmp_path / "pets" / "cat"
    pets.mkdir(parents=True)
    (pets / "1.png").write_bytes(b"one")
    first = mark("folder:pets"), mark(f"folder:{tmp_path / 'pets'}")
    (pets / "1.png").write_bytes(b"two!")
    second = mark("folder:pets"), mark(f"folder:{tmp_path / 'pets'}")
    assert len({*first, *second}) == 4
