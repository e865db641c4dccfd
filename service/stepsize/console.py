"""The console script: works with whatever extras are installed, and says which a command lacks."""

import importlib
import sys

from stepsize.extras import what_to_install


def main() -> None:
    """Run the command line, or say in one line what to install for it."""
    try:
        # Here and not above: the command line's own libraries are an extra.
        cli = importlib.import_module("stepsize.cli")
    except ModuleNotFoundError as error:
        command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
        if not (mend := what_to_install(command)):
            raise
        sys.exit(f"stepsize {command}".rstrip() + f" needs: {mend}  ({error.name} is missing)")
    cli.app(prog_name="stepsize")


if __name__ == "__main__":
    main()
