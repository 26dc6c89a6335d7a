"""`python -m breedblup`: the command."""

from breedblup.cli import main

if __name__ == "__main__":
    main()
