"""Hides the library of this name, whose import takes two seconds of processor time.

A server uses it only to check the JSON schema format `iri`. If the library is missing,
jsonschema leaves that check out.
"""

raise ImportError("hidden, so that servers under test start fast")
