"""How does one test experiments, or this project, without a cluster and without waiting? Fakes of what is expensive.

    evidence      builders for requests, calls, edges and windows, to test claims with
    behaviour     what a service of a fake mesh does with a request
    system        the services of a fake mesh at work: requests, faults, retries and time-outs, as the proxies' configurations say
    mesh, load    the ports of `chaos.mesh` and `chaos.load`, over such a system
    passing_time  time that passes as fast as it is waited for
    fake          `fake_mesh(...)`: all of it behind `--chaos-mesh=fake`

The fakes are under the same contract suites as the real mesh and the real load generator.
"""
