"""The map of the slides: complete, in order, and the same names as in the claims."""

from greenai_nb.lesson import project
from greenai_nb.lesson.claims import load_claims
from greenai_nb.lesson.slides import named, slides

MAP = slides()
WALK = {path.stem for path in project.notebooks().glob("[0-9]*.ipynb")}


def test_each_of_the_24_works_is_cited_by_a_slide():
    assert sorted(MAP.works) == list(range(1, 25))
    assert {number for slide in MAP.slides for number in slide.cites} == set(MAP.works)


def test_every_slide_and_work_has_its_notebooks():
    for entry in (*MAP.slides, *MAP.works.values()):
        assert entry.notebooks and {*entry.notebooks} <= WALK, entry


def test_every_work_has_claims_in_its_notebooks_or_a_reason_why_none_is_judged():
    for work in MAP.works.values():
        judged = work.judged(load_claims())
        assert bool(judged) != bool(work.unverified), work
        assert {claim.notebook for claim in judged} <= {*work.notebooks}, work


def test_claims_name_slides_that_are_there():
    titles = {slide.title for slide in MAP.slides}
    for claim in load_claims().values():
        assert named(claim.source) in titles | {""}, claim.id


def test_a_claim_about_a_slide_stands_in_one_of_its_notebooks():
    notebooks = {slide.title: slide.notebooks for slide in MAP.slides}
    for claim in load_claims().values():
        if title := named(claim.source):
            assert claim.notebook in notebooks[title], claim.id
