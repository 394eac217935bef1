"""`python -m sojourn`: the same as the `sojourn` command."""

from sojourn.cli import main

if __name__ == "__main__":
    main()
