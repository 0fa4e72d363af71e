"""How does a fault get into the path? Pure: (the caller's routes and clusters, live injections) -> objects of ours.

`callers` finds the proxies an edge starts at, `side` decides where the fault acts, `private_path` copies what the callee's
virtual host and clusters are in the caller's proxy, `switch` makes the route that leads own traffic there, `objects` wraps both
into the two EnvoyFilters, `in_force` says whether a proxy holds them. Nothing here writes, waits or asks anybody.
"""
