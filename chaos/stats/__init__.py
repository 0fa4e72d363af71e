"""Does the evidence carry a verdict? Intervals, tests and sequential decisions over plain numbers; standard library only.

Nothing here knows windows, edges or claims: in go counts, bits (one byte per request, 1 = bad, in the order of the
scheduled start) and latencies; out come small frozen values with every figure a message needs. The flow is

    blocks, quantiles   what was measured, cut and ordered once
    dependence          how many independent requests it is worth (the design effect D)
    shares, means       a fixed window against a threshold          sequential   the same while requests arrive
    arms, mover         a window, and differences of windows   ->   equivalence, canary
    planning, proof     how many requests are needed; was the fault really drawn

with `levels` (what may go wrong how often) and `special` (the distributions) below all of them.
"""
