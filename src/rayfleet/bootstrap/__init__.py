"""How a machine elsewhere becomes a node: a pure recipe, delivered as user-data or over SSH.

recipe.recipe(...) -> Recipe -> script.start_script(recipe)     one shell script, run by the machine itself
                             -> over_ssh.Bootstrapped           step by step, by whoever controls the cluster
"""
