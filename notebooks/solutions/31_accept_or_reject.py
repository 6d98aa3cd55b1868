"""Solutions to the exercises of 31_accept_or_reject."""


def accepts(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """Hint: a loss that rises makes the log ratio smaller. Accept if log U is below the log ratio."""
    return log_uniform < -inverse_temperature * (loss_after - loss_before) + log_prior_ratio


def rank_one(logits, change, activations, column):
    """Hint: image i has activation a_i. Its logit of that class moves by change * a_i, no other does."""
    return [
        [z + change * a if c == column else z for c, z in enumerate(row)]
        for row, a in zip(logits, activations, strict=True)
    ]


CASES = {
    "accepts": [
        (-1.0, 0.0, 0.0, 1.0, 0.0),
        (-1.0, 1.0, 0.5, 1.0, 0.0),
        (-1.0, 0.5, 2.0, 1.0, 0.0),
        (-1.0, 0.5, 1.0, 10.0, 0.0),
        (-1.0, 0.0, 0.5, 1.0, -2.0),
        (-1.0, 0.0, 2.0, 1.0, 3.0),
    ],
    "rank_one": [
        ([[0.0]], 1.0, [1.0], 0),
        ([[0.0, 0.0]], 1.0, [2.0], 1),
        ([[1.0, 2.0], [3.0, 4.0]], 0.5, [0.0, 2.0], 0),
    ],
}
