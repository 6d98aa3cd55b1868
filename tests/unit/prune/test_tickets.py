import torch

from greenai_nb.learn.stack import Stack, fit_stack
from greenai_nb.nets.architectures import mlp
from greenai_nb.prune.tickets import iterated, masks_by_magnitude


def test_levels_are_nested_exact_and_start_where_they_should(tiny_data):
    nets = []
    for seed in range(2):
        torch.manual_seed(seed)
        nets.append(mlp(16, 6, 3))
    start, starts = Stack(nets), []
    dense = fit_stack(start, tiny_data, epochs=1, learning_rate=0.3).net

    def train(stack):
        starts.append(stack)
        return fit_stack(stack, tiny_data, epochs=1, learning_rate=0.3)

    levels = [*iterated(dense, [0.5, 0.1], train, rewind_to=start)]
    for fraction, (masks, fit) in zip((0.5, 0.1), levels, strict=True):
        assert [mask.kept for mask in masks] == [round(fraction * 114)] * 2
        for number, mask in enumerate(masks):
            assert torch.equal(fit.net.layers(number)[0].mask, mask.layers[0])
    first, second = (masks[0].layers[0] for masks, _ in levels)
    assert not (second & ~first).any()
    assert torch.equal(starts[1].layers(0)[0].weight, start.layers(0)[0].weight * second)
    size = torch.cat([layer.weight.abs().flatten() for layer in dense.layers(0)])
    kept = torch.cat([layer.flatten() for layer in levels[0][0][0].layers])
    assert size[kept].min() >= size[~kept].max()
    starts.clear()
    on = [*iterated(dense, [0.5], train, rewind_to=None)]
    assert torch.equal(starts[0].layers(0)[0].weight, dense.layers(0)[0].weight * on[0][0][0].layers[0])
    assert masks_by_magnitude(dense, 1.0)[0].kept == 114
