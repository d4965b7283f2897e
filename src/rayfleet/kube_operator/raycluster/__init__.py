"""RayCluster -> its pods, services and rights, and its status."""
