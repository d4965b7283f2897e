"""A cluster's life on the machine that controls it: up, down, and everything that people do in between.

home (files) --> lease (who controls) --> controller (the loop's process) --> view (what it recorded)
                                                   ^
up, down, orders: write, wake it, and watch -------'
"""
