"""What is told about a run, and in which form? One writer per format, all fed with the same events.

    stream       events -> one file per process of the run -> merged in the order they happened
    story        events -> what happened, experiment by experiment
    writer       what a format has to offer
    json_report  report.json, for machines
    table        the table of outcomes, for terminals

Nothing here knows who runs the experiments.
"""
