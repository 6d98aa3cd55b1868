"""Solutions to the exercises of 42_pruning_zoo, and what goes wrong in them."""


def keep_by_saliency(weights, gradients, kept):
    """Hint: a gate c in front of w changes the loss by w times the gradient; its size counts."""
    scores = [abs(weight * slope) for weight, slope in zip(weights, gradients, strict=True)]
    places = sorted(range(len(weights)), key=lambda place: -scores[place])
    return sorted(places[:kept])


def by_magnitude(weights, gradients, kept):
    """You rank by magnitude. A large weight whose gradient is zero can go without any change."""
    places = sorted(range(len(weights)), key=lambda place: -abs(weights[place]))
    return sorted(places[:kept])


def by_gradient(weights, gradients, kept):
    """You rank by the gradient. Removing a weight moves it by its own size, so that counts, too."""
    places = sorted(range(len(weights)), key=lambda place: -abs(gradients[place]))
    return sorted(places[:kept])


def sign_counts(weights, gradients, kept):
    """You keep the sign. A product far below zero changes the loss as much as one far above."""
    scores = [weight * slope for weight, slope in zip(weights, gradients, strict=True)]
    places = sorted(range(len(weights)), key=lambda place: -scores[place])
    return sorted(places[:kept])


def smallest_kept(weights, gradients, kept):
    """You keep the smallest saliencies, which are the ones to prune."""
    scores = [abs(weight * slope) for weight, slope in zip(weights, gradients, strict=True)]
    places = sorted(range(len(weights)), key=lambda place: scores[place])
    return sorted(places[:kept])


def live_weights(hidden, output):
    """Hint: a unit lives if its row of the hidden mask has a one, and so has its column of the other."""
    live = [any(row) and any(out[unit] for out in output) for unit, row in enumerate(hidden)]
    into = sum(sum(row) for row, lives in zip(hidden, live, strict=True) if lives)
    out = sum(kept for row in output for kept, lives in zip(row, live, strict=True) if lives)
    return into + out


def all_kept(hidden, output):
    """You count all kept weights. One into a unit that nothing leaves does nothing."""
    return sum(map(sum, hidden)) + sum(map(sum, output))


def inputs_alone(hidden, output):
    """You ask only whether something goes in. A unit that nothing leaves does nothing."""
    live = [any(row) for row in hidden]
    into = sum(sum(row) for row, lives in zip(hidden, live, strict=True) if lives)
    return into + sum(kept for row in output for kept, lives in zip(row, live, strict=True) if lives)


def outputs_alone(hidden, output):
    """You ask only whether something goes out. A unit that receives nothing has nothing to give."""
    live = [any(out[unit] for out in output) for unit in range(len(hidden))]
    into = sum(sum(row) for row, lives in zip(hidden, live, strict=True) if lives)
    return into + sum(kept for row in output for kept, lives in zip(row, live, strict=True) if lives)


def live_units(hidden, output):
    """You count units. Each of them may have many kept weights."""
    return sum(any(row) and any(out[unit] for out in output) for unit, row in enumerate(hidden))


CASES = {
    "keep_by_saliency": [
        ([1.0, 0.1, 0.5], [0.0, 1.0, 0.5], 1),
        ([2.0, -1.0, 0.3, 0.2], [0.1, 0.9, -0.1, 0.4], 2),
        ([0.1, 3.0, 1.0], [5.0, 0.1, 1.0], 1),
        ([1.0, 1.0, -2.0], [0.5, 0.1, 0.4], 1),
    ],
    "live_weights": [
        ([[1, 0], [0, 1]], [[1, 0], [0, 0]]),
        ([[1, 1], [0, 0]], [[1, 1], [0, 1]]),
        ([[1, 1], [1, 1]], [[1, 1]]),
        ([[0, 0], [1, 0], [1, 1]], [[1, 0, 1], [1, 0, 0]]),
    ],
}
MISCONCEPTIONS = {
    "keep_by_saliency": [by_magnitude, by_gradient, sign_counts, smallest_kept],
    "live_weights": [all_kept, inputs_alone, outputs_alone, live_units],
}
