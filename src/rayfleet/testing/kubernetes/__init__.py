"""A Kubernetes for tests: a real control plane as processes of this machine, and kubelets that pretend.

`control_plane` runs etcd, API server, controller manager and scheduler; `kubelet` registers nodes with it and says of
the pods bound to them that they run, fail or end, as `behaviour` has it. Nothing here pretends to be the API server:
what clients, controllers and the scheduler do is real, only containers are not.

    with ControlPlane(programs) as plane, Background(StatusKubelet(plane.access, 3)):
        plane.kubectl("apply", "-f", "deployment.yaml")

`programs` is the folder that `scripts/kubernetes_plane.sh` prints. Needs aiohttp, and openssl on the PATH.
"""
