"""Figures for Prometheus: what a controller tells of its cluster, by name.

    families    every family of series there is: name, kind, labels, unit      a table, from which the docs are made
    gauges      a TickReport as it is now -> samples                           pure, done when somebody scrapes
    beforehand  the series that a policy lets one expect, which begin at 0             pure
    counts      what has happened since the start: counters and histograms     a little work for each report
    sink        takes reports, hands out a registry
    endpoint    answers Prometheus, in a thread of its own
    scraping    the scrape configuration that finds it

Names and labels are a public contract: dashboards and alert rules of users hold on to them. Labels are bounded by what
a cluster's file names (pools, offers) and by fixed lists of words; shapes of demand and ids of machines are none.
"""
