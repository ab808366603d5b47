"""`python -m claude_nb_gateway`: the command `jupyter claude-gateway`."""

from .app import main

if __name__ == "__main__":
    main()
