"""Bookinfo: four small services that behave as Istio's documentation describes, to be run on a mesh and disturbed.

`productpage` calls `details` and `reviews`; `reviews` calls `ratings` (v1 does not). What they share is in `service`.
"""
