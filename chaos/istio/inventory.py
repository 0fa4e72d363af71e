"""Who is there, in everybody's words? Services and pods of a `World` as `chaos.model.inventory` tells of them.

The World knows what Istio needs to know of them; callers of a mesh see only what this module hands on.
"""

from __future__ import annotations

from chaos.istio import services, workloads
from chaos.model.inventory import Pod, Service, ServicePort


def service_of(service: services.Service) -> Service:
    return Service(
        # A ServiceEntry's name is not what callers say: its hosts are.
        name=service.name if service.kubernetes else service.hostname,
        namespace=service.namespace,
        host=service.hostname,
        ports=tuple(ServicePort(number=p.number, name=p.name, protocol=p.protocol.value) for p in service.ports),
        selector=service.selector or {},
        headless=service.headless,
    )


def pod_of(pod: workloads.Pod) -> Pod:
    return Pod(
        name=pod.name,
        namespace=pod.namespace,
        workload=pod.workload,
        labels=pod.labels,
        ip=pod.ip,
        proxy=pod.has_proxy,
        gateway=pod.is_gateway,
    )
