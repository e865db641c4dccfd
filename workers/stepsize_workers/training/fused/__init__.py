"""Trials that train as one: stacked parameters, one forward and one backward pass, one update for all members.

A member is an ordinary training (`Run`) whose model and optimiser are views of its row of the stack. So whatever is not
an update (evaluation, checkpoints, files) is done by the loop of trials that train alone, to the letter.
"""
