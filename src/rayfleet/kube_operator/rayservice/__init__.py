"""RayService -> Serve applications on a cluster that is replaced without an outage."""
