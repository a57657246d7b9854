"""Muon for the matrices inside the layers, Adam for everything else; both hold float32 master weights."""

import torch

from quantize import fake

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrices, steps=5):
    """The nearest orthogonal matrices, roughly, by Newton and Schulz's iteration (Jordan et al. 2024)."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """Steps the master weights from a model's gradients and copies them back, quantized when asked."""

    def __init__(self, model, matrix_rate, other_rate, decay=0.01, compiled=False):
        self.model, self.matrix_rate, self.other_rate, self.decay = model, matrix_rate, other_rate, decay
        named = dict(model.named_parameters())
        self.master = {name: weight.detach().float().clone() for name, weight in named.items()}
        self.groups = {}
        for name, weight in named.items():
            if weight.ndim == 2 and "embed" not in name:
                self.groups.setdefault(tuple(weight.shape), []).append(name)
        self.momentum = {shape: torch.zeros(len(names), *shape, device=self.master[names[0]].device) for shape, names in self.groups.items()}
        self.others = [name for name in named if not any(name in names for names in self.groups.values())]
        self.moments = [[torch.zeros_like(self.master[name]) for name in self.others] for _ in range(2)]
        self.named, self.count = named, 0
        self.orthogonal = torch.compile(orthogonal) if compiled else orthogonal
        self.fake = torch.compile(fake) if compiled else fake

    @torch.no_grad()
    def step(self, factor):
        """One step at the base rates times `factor`."""
        self.count += 1
        for shape, names in self.groups.items():
            gradient = torch.stack([self.named[name].grad for name in names]).float()
            momentum = self.momentum[shape].lerp_(gradient, 0.05)
            update = self.orthogonal(gradient.lerp(momentum, 0.95)) * (0.2 * max(shape) ** 0.5)
            rate = self.matrix_rate * factor
            masters = [self.master[name] for name in names]
            torch._foreach_mul_(masters, 1 - rate * self.decay)
            torch._foreach_add_(masters, list(update.unbind()), alpha=-rate)
        first, second = self.moments
        gradients = [self.named[name].grad.float() for name in self.others]
        torch._foreach_lerp_(first, gradients, 0.1)
        torch._foreach_lerp_(second, torch._foreach_mul(gradients, gradients), 0.05)
        divisor = torch._foreach_sqrt(torch._foreach_div(second, 1 - 0.95**self.count))
        torch._foreach_add_(divisor, 1e-8)
        update = torch._foreach_div(torch._foreach_div(first, 1 - 0.9**self.count), divisor)
        torch._foreach_add_([self.master[name] for name in self.others], update, alpha=-self.other_rate * factor)

    @torch.no_grad()
    def publish(self, quantized):
        """Copy the master weights into the model, through quantization or plainly."""
        values = {}
        for names in self.groups.values():
            stacked = torch.stack([self.master[name] for name in names])
            values |= zip(names, (self.fake(stacked) if quantized else stacked).unbind())
        for name in self.others:
            master = self.master[name]
            values[name] = fake(master) if quantized and master.ndim == 2 else master
        torch._foreach_copy_([self.named[name] for name in values], list(values.values()))
