"""What outlives the server: projects, sessions, turns and keys, in a database.

The rest of the package calls `store` and `cache`, and uses `records`, which know no
SQL. `tables` is the current schema, and `migrations` bring a database to it. `rows`
converts between records and rows of tables. `connector` and `engine` open the
database, and `turns` writes turns in the background.
"""
