"""What runs on the machines. One folder per engine; `ray` is the one there is."""
