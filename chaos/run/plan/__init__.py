"""What would these experiments do? A run and its experiments where nothing is written and nothing is sent (`--chaos-plan`).

mesh          any mesh, for who only looks
run           neither journal nor watchdog nor load generator: there is nothing to undo
experiment    injections are checked, planned and told; what stands in their way is told as well
traffic       windows end at once, claims say what they need, and the first number that is read ends the plan
"""
