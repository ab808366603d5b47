"""In the place of a library that takes two seconds of processor time to import.

Of all that a server does, only checks of the JSON schema format `iri` use it, and
jsonschema leaves them out when it is not there.
"""

raise ImportError("left out, so that servers under test start fast")
