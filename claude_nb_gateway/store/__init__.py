"""What outlives the server: projects, sessions, turns and keys, in a database.

`records` are the things themselves and know no SQL; `tables` is the schema of today,
`migrations` how a database gets there; `rows` turns one into the other; `store` is
all that the rest of the package calls.
"""
