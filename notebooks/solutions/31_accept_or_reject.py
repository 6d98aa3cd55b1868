"""Solutions to the exercises of 31_accept_or_reject, and what goes wrong in them."""


def accepts(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """Hint: a loss that rises makes the log ratio smaller. Accept if log U is below the log ratio."""
    log_ratio = -inverse_temperature * (loss_after - loss_before) + log_prior_ratio
    return log_uniform < log_ratio


def accepts_below_u(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """You accept when the ratio is below u. That turns the rule round: the worse a proposal is, the
    more often it is taken."""
    return log_uniform > -inverse_temperature * (loss_after - loss_before) + log_prior_ratio


def uphill(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """Your ratio grows when the loss rises, so the chain climbs. Smaller losses are the more probable
    ones."""
    return log_uniform < inverse_temperature * (loss_after - loss_before) + log_prior_ratio


def prior_forgotten(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """You leave the prior out. Such a chain follows the data alone; nothing pulls weights to zero."""
    return log_uniform < -inverse_temperature * (loss_after - loss_before)


def temperature_forgotten(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """You leave lambda out. Then a cold chain takes bad proposals as readily as a hot one."""
    return log_uniform < loss_before - loss_after + log_prior_ratio


def prior_cooled_too(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """You multiply the prior by lambda, too. It belongs to the loss alone; the prior keeps its
    weight."""
    return log_uniform < inverse_temperature * (loss_before - loss_after + log_prior_ratio)


def only_improvements(log_uniform, loss_before, loss_after, inverse_temperature, log_prior_ratio):
    """You take improvements only. That is a search that stops at the first dip; a chain must
    sometimes go uphill, as often as u allows."""
    return inverse_temperature * (loss_before - loss_after) + log_prior_ratio >= 0


def rank_one(logits, change, activations, column):
    """Hint: image i has activation a_i. Its logit of that class moves by change * a_i, no other does."""
    moved = [list(row) for row in logits]
    for row, activation in zip(moved, activations, strict=True):
        row[column] += change * activation
    return moved


def activation_forgotten(logits, change, activations, column):
    """You move every image's logit alike. The effect of a weight is in proportion to its unit: where the
    unit is zero, nothing moves."""
    return rank_one(logits, change, [1.0] * len(logits), column)


def all_classes_moved(logits, change, activations, column):
    """You move the logits of all classes. The weight leads into one class, and no other
    logit moves."""
    return [[z + change * a for z in row] for row, a in zip(logits, activations, strict=True)]


def image_taken_for_class(logits, change, activations, column):
    """You move the logits of one image. A row is an image, and a column is a class: the weight leads
    into a column."""
    return [
        [z + change * activations[at] for z in row] if at == column else row
        for at, row in enumerate(logits)
    ]


def logit_replaced(logits, change, activations, column):
    """You put the change in place of the logit. The logit has parts from all other units; add to it."""
    return [
        [change * a if at == column else z for at, z in enumerate(row)]
        for row, a in zip(logits, activations, strict=True)
    ]


CASES = {
    "accepts": [
        (-1.0, 0.0, 0.0, 1.0, 0.0),
        (-1.0, 0.0, 0.5, 1.0, 0.0),
        (-1.0, 1.0, 0.5, 1.0, 0.0),
        (-1.0, 0.5, 2.0, 1.0, 0.0),
        (-1.0, 0.5, 1.0, 10.0, 0.0),
        (-1.0, 0.0, 0.5, 1.0, -2.0),
        (-1.0, 0.0, 2.0, 1.0, 3.0),
        (-1.0, 0.5, 0.5, 10.0, -0.5),
    ],
    "rank_one": [
        ([[0.0]], 1.0, [1.0], 0),
        ([[0.0, 0.0]], 1.0, [2.0], 1),
        ([[1.0, 2.0], [3.0, 4.0]], 0.5, [0.0, 2.0], 0),
    ],
}
MISCONCEPTIONS = {
    "accepts": [
        accepts_below_u,
        uphill,
        prior_forgotten,
        temperature_forgotten,
        prior_cooled_too,
        only_improvements,
    ],
    "rank_one": [activation_forgotten, all_classes_moved, image_taken_for_class, logit_replaced],
}
