#!/usr/bin/env python3
"""Trains a Fourier neural operator on the data set of the experiment `darcy`, for as long as asked.

Usage, from the root of the repository:

    cargo run --release --example darcy
    pip install torch neuraloperator safetensors
    python3 benches/peers/fno_darcy.py --seconds 250

The settings are those of Li et al. (2021): 4 layers, 12 modes along each axis, 32 channels, Adam at
1e-3 with weight decay 1e-4, 20 samples a step, the relative L2 loss; but the rate falls along a cosine
to zero as the time runs out. Weights, data and arithmetic are in single precision.
"""

import argparse
import math
import time

import torch
from neuralop.models import FNO
from safetensors.torch import load_file


def relative_error(found, truth):
    """Mean over the samples of the relative error in the Euclidean norm."""
    return ((found - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="target/figures/darcy.safetensors")
    parser.add_argument("--seconds", type=float, required=True, help="time of training")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate at the beginning")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    data = load_file(arguments.data)
    tensor = lambda name: data[f"parameter.{name}"].float().unsqueeze(1)
    a, u = tensor("training.permeability"), tensor("training.pressure")
    a_test, u_test = tensor("test.permeability"), tensor("test.pressure")
    mean, deviation, unit = a.mean(), a.std(), u.std()
    a, a_test = (a - mean) / deviation, (a_test - mean) / deviation

    model = FNO(n_modes=(12, 12), in_channels=1, out_channels=1, hidden_channels=32, n_layers=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.rate, weight_decay=1e-4)
    begin, steps, losses = time.monotonic(), 0, []
    while (part := (time.monotonic() - begin) / arguments.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * 0.5 * (1 + math.cos(math.pi * part))
        batch = torch.randint(len(a), (arguments.batch,))
        loss = relative_error(unit * model(a[batch]), u[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        steps += 1
    with torch.no_grad():
        parts = zip(a_test.split(20), u_test.split(20))
        errors = [relative_error(unit * model(a), u) * len(a) for a, u in parts]
    count = sum(parameter.numel() for parameter in model.parameters())
    recent = losses[-len(losses) // 10 :]
    print(f"{count} parameters, {steps} steps of {arguments.batch} samples")
    print(f"relative error, training  {sum(recent) / len(recent):.4f}")
    print(f"relative error, test      {sum(errors).item() / len(a_test):.4f}")


if __name__ == "__main__":
    main()
