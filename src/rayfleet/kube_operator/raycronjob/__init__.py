"""RayCronJob -> RayJobs, on time."""
