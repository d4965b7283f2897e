"""Autoscaling in the operator itself, for fleets: the same loop as beside a head, one for each RayCluster.

    RayCluster --reconcile--> Scaling --> Fleet --> Scaler, one task for each cluster

      asleep   Ray is asked once in a while, and the answer compared with the one before
         | it differs; a time-out passes; somebody changed the RayCluster or its pods
      a tick   nothing to be done, nothing going on: asleep again
         | else
      awake    the loop runs as it does everywhere, until nothing has gone on for a while

Clusters share the connection to the API server, the cache of pods, and one thread that plans, in turn.
"""
