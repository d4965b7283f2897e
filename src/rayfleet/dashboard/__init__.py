"""The page in a browser: every cluster of this user, what each does and why. Shows; people act through orders.

    cli --Clusters--> server (login, host names, pages) --> pages --> readings (pure) <-- histories, read in threads
                                                               '---> markup, charts (pure)

One reading of a history serves all who look. Nothing here reaches into the loop, and nothing blocks the server's own.
"""
