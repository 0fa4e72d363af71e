"""Frozen values that every part of the project speaks in: what is asked for, what was seen, what follows from it."""
