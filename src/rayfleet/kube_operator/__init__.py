"""The operator: `ray.io` resources in, pods and status conditions out.

For every kind a pure function: what is seen -> what is to be done. Everything with I/O is in `runtime`.
"""
