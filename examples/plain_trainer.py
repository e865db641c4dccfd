"""examples/plain_script.py as a trainer: docs/how-to/write-a-trainer.md goes through it line by line.

STEPSIZE_TRAINERS=plain_trainer stepsize up           (in this directory)
stepsize submit plain-trainer.yaml --wait
"""

import torch
from pydantic import Field
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from stepsize import Float, Int, Params, TrialContext, trainer


class DigitsParams(Params):
    """What a job may fix or search."""

    learning_rate: float = Field(default=0.1, gt=0, le=10)
    """Step size of SGD."""
    batch_size: int = Field(default=64, ge=1, le=1024)
    """Samples of an update."""
    epochs: int = Field(default=5, ge=1, le=1000)
    """Passes over the training data."""


@trainer(
    name="my_digits",
    params=DigitsParams,
    metrics={"val_loss": "minimize"},
    search_space={
        "learning_rate": Float(1e-3, 1.0, log=True),
        "batch_size": Int(16, 256, powers_of_two=True),
    },
    max_step_param="epochs",
)
def train(context: TrialContext[DigitsParams]) -> None:
    """A small net on 8×8 digits."""
    params = context.params
    torch.manual_seed(context.seed)
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    x_train, y_train, x_val, y_val = x[:1400], y[:1400], x[1400:], y[1400:]

    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=params.learning_rate)
    for epoch in range(1, params.epochs + 1):
        for batch in torch.randperm(len(x_train)).split(params.batch_size):
            if context.should_stop():
                return
            optimizer.zero_grad()
            cross_entropy(model(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = cross_entropy(model(x_val), y_val).item()
        if context.report(epoch, {"val_loss": val_loss}):
            break
    torch.save(model.state_dict(), context.artifact("model.pt"))
