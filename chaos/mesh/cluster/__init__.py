"""A mesh that is there already: any Kubernetes with Istio's sidecars, by way of the official client.

kubeconfig  which API server, and who are we to it?
client      one call to the API server: time-outs, retries, errors that say what to do
kinds       what the objects are called in its paths
"""
