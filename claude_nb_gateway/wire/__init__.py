"""What clients speak: each API reads its requests and writes its answers."""
