"""Where most people start: a training script with its rates at the top. examples/plain_trainer.py tunes it."""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

LEARNING_RATE = 0.1
BATCH_SIZE = 64
EPOCHS = 5

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.data / 16, dtype=torch.float32)
y = torch.tensor(digits.target)
x_train, y_train, x_val, y_val = x[:1400], y[:1400], x[1400:], y[1400:]

model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
for epoch in range(1, EPOCHS + 1):
    for batch in torch.randperm(len(x_train)).split(BATCH_SIZE):
        optimizer.zero_grad()
        cross_entropy(model(x_train[batch]), y_train[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        val_loss = cross_entropy(model(x_val), y_val).item()
    sys.stdout.write(f"epoch {epoch}: {val_loss:.3f}\n")
torch.save(model.state_dict(), "model.pt")
