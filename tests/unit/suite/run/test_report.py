"""The ledger of a run, and the pictures of its page."""

import math

import pandas as pd

from greenai_nb.lesson import claims, records
from greenai_nb.suite.run import report


def test_a_number_that_was_not_obtained_is_said_so():
    made = records.new("n", math.nan, "s", "measured", claim="c", lo=math.nan, hi=math.inf)
    claim = claims.Claim("c", "a", "b", "00", "n", "s", "measured", ("ci",), at_least=0)
    found = pd.DataFrame([made | {"verdict": "fails"}, made | {"claim": None, "value": 1.0}])
    for given_records in ([made | {"verdict": "fails"}], found.to_dict("records")[:1]):
        (row,) = report.ledger({"c": claim}, given_records)
        assert row.obtained == report.NOT_OBTAINED and row.verdict == "fails"
