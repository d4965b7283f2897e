"""One module per part: its docstring says how it measures, its `measure(effort, folder)` does so."""
