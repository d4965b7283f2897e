"""One file per page: readings become markup, tables and charts, drawn again where they have changed."""
