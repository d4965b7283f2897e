"""Planning problems for benchmarks: machine types, waiting work, the standing set, a bound of cost, and a checker."""
