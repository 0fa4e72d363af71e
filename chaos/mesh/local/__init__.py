"""How does a mesh run on one machine? Real Envoys beside ordinary processes, started from the manifests a cluster would get.

binary        where is Envoy?
addresses     a block of loopback addresses of our own, and who stands in the way
instances     which pods run, with which command and at which addresses; refuses manifests that cannot run
generations   which pods are new when a template changes
planning      the whole of it for one topology, checked before anything is touched
applications  the command and environment of one application
localise      what istiod would push -> the same policy on our own listeners and addresses
gateways      the same for gateways: which run, what they serve, and whether load enters by one
configured    what each proxy would hold, and where load would enter
destinations  where calls go whose destination only the client knows
clusters      endpoints and TLS of clusters, as they are here
stock         filters and listeners that an Envoy takes which Istio did not build
access_log    what the proxies write down
bootstrap     what an Envoy is started with
admin         an Envoy's admin interface
xds           resources -> files -> confirmed by the proxy, in an order that loses no request
sidecars      one proxy: what it has, what it wrote
processes     children in sessions of their own
readiness     does an application answer?
launching     instances come up together, and are drained before they go
stop          the stop switch of this machine
manifest      the mesh as it would be, for who only plans: nothing is started
mesh          `LocalMesh`: all of it together, as `chaos.mesh.port.Mesh`, and `update`: other manifests while it runs
"""
