"""The APIs that clients speak: each reads its requests and writes its answers."""
