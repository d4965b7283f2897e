"""`python -m rayfleet`: the same as the command `rayfleet`."""

from rayfleet.cli import main

if __name__ == "__main__":
    main()
