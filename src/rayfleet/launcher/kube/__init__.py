"""Clusters that are `ray.io` resources in a Kubernetes cluster: up, down, status, logs, exec, submit, from outside.

    file or name -> target -> look (I/O) -> view (pure) -> lines
    manifest -> changes (pure) -> apply (I/O) -> look until ready

The operator that runs the resource (rayfleet's or KubeRay) does the work; this room asks for it and says how it goes.
"""
