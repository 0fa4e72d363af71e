"""Istio's own objects: reading them, checking them, and what a cluster made of them would hold. Pure."""
