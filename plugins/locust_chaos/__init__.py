"""What runs inside Locust's process: `python -m locust_chaos`, started by `chaos.load.locust`.

`control` obeys the test process. An open model is sent by `arrivals`, a closed one by `users`, which runs either a user of
ours or, from `scripts`, the user's own locustfile. Both send through `connections` (what Locust's clients must do
differently here), name what went wrong in `failures`, and write down every request in `recorder`.
"""
