"""End an actor that `detached_actor.py` has created.

python terminate_detached_actor.py NAME
"""

import sys

import ray

NAMESPACE = "examples"


def main(name: str) -> None:
    """Look the actor `name` up, in whatever process it was created, and end it."""
    ray.init(namespace=NAMESPACE)
    ray.kill(ray.get_actor(name))
    print(f"{name} was ended")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.exit(__doc__)
    main(sys.argv[1])
