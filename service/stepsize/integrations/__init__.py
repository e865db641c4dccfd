"""Callbacks for training frameworks: report, stop, keep a checkpoint and go on from it. One file a framework.

Each takes a trial, whichever way it came: a trainer's `context`, a trial of `stepsize.tune`, or one of
`Client.suggestions`. A framework is imported by its own file alone.
"""
