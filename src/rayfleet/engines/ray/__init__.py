"""Ray as the engine: the only room that knows Ray.

    settings --> boot (start_script) ==> node_main, on the machine ==> raylet, GCS, dashboard
       |
       '--> gcs --> view --> RayEngine --> the loop
                                 '--> publishing: Ray's status, driver events, log files

Nothing is imported here: `node_main` must start in the time that Python itself needs.
"""
