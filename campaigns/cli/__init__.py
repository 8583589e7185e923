"""The ``matdisco`` command."""

from __future__ import annotations

import os
import sys

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are sentences, never tracebacks.

    Exit codes: 0 done, 1 failed with a message, 2 wrong usage or configuration,
    130 stopped by Ctrl-C.
    """
    from campaigns.cli.app import app
    from campaigns.cli.completion import whole_words
    from matdisco.errors import ConfigError, MatdiscoError

    argv = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]
    try:
        with whole_words():
            app(args=argv, prog_name="matdisco", standalone_mode=True)
    except ConfigError as error:
        _fail(error, EXIT_USAGE, debug)
    except MatdiscoError as error:
        _fail(error, EXIT_FAILED, debug)
    except KeyboardInterrupt:
        print("stopped; nothing recorded is lost", file=sys.stderr)
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # the reader of a pipe (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_OK)
    except (OSError, MemoryError) as error:
        name = getattr(error, "filename", None)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        _fail(
            MatdiscoError(f"{name}: {reason}" if name else reason), EXIT_FAILED, debug
        )
    except Exception as error:
        if debug:
            raise
        _fail(
            MatdiscoError(
                f"unexpected {type(error).__name__}: {error}. This is a mistake in "
                "matdisco; please report it with the output of the same command "
                "and --debug"
            ),
            EXIT_FAILED,
            False,
        )


def _fail(error: BaseException, code: int, debug: bool) -> None:
    if debug:
        raise error
    print(f"error: {error}" if code == EXIT_FAILED else str(error), file=sys.stderr)
    sys.exit(code)
