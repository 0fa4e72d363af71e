"""How does a mesh run on one machine? Real Envoys beside ordinary processes, started from the manifests a cluster would get.

binary        where is Envoy?
addresses     a block of loopback addresses of our own, and who stands in the way
instances     which pods run, with which command and at which addresses; refuses manifests that cannot run
planning      the whole of it for one topology, checked before anything is touched
applications  the command and environment of one application
localise      what istiod would push -> the same policy on our own listeners and addresses
access_log    what the sidecars write down
bootstrap     what an Envoy is started with
admin         an Envoy's admin interface
xds           resources -> files -> confirmed by the proxy, in an order that loses no request
processes     children in sessions of their own
mesh          `LocalMesh`: all of it together, as `chaos.mesh.port.Mesh`
"""
