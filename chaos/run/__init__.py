"""The life of injections and of a run: guard, journal, watchdog, undo; and the composition of everything below.

`run` opens a mesh and a load generator and emits events; `experiment` is one test: its private paths, injections, loads and
windows; `injecting` the life of one injection; `traffic` of one load; `journal` and `watchdog` what survives us.
"""
