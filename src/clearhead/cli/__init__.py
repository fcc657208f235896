"""The command line: one verb a file, thin; heavy imports wait until a verb runs.

Results go to stdout, progress and messages to stderr. This is the only room that prints or exits.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from clearhead import errors
from clearhead.cli import (
    classify,
    compare,
    data,
    demo,
    evaluate,
    export,
    few_shot,
    gain,
    generate,
    import_,
    inspect,
    train,
    translate,
    version,
)
from clearhead.errors import ClearheadError, MachineError, UsageError

CommandLineProblem = typer.BadParameter.__mro__[2]
"""What typer raises where the command line does not parse (its name is not public)."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 a bug in clearhead; 2 the command line or a config is wrong; 3 a corpus or an input is "
    "wrong; 4 a run folder is wrong; 5 the machine cannot go on (disk, memory, network); 6 the training cannot go on; "
    "130 stopped by Ctrl-C; 141 nobody reads the output any more; 143 stopped by SIGTERM. "
    "A flag goes before an environment variable (CLEARHEAD_LANG, CLEARHEAD_DEBUG, CLEARHEAD_MIRROR), "
    "and that before a file."
)


class Verbs(TyperGroup):
    """The verbs, in the order a newcomer needs them; an unknown one is answered with the nearest."""

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        if args and args[0] not in self.commands:
            nearest = difflib.get_close_matches(args[0], list(self.commands), n=1, cutoff=0.0)[0]
            raise UsageError("unknown-verb", verb=args[0], verbs=", ".join(self.commands), nearest=nearest)
        return super().resolve_command(ctx, args)


def _speak(value: str | None) -> str | None:
    if value is not None:
        if value not in errors.LANGUAGES:
            raise UsageError("unknown-language", value=value, languages=", ".join(errors.LANGUAGES))
        os.environ["CLEARHEAD_LANG"] = value
    return value


app = typer.Typer(
    name="clearhead",
    cls=Verbs,
    help="Train, run and see through Transformers: from a parallel corpus to a translator.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def clearhead(
    context: typer.Context,
    lang: Annotated[
        str | None,
        typer.Option(callback=_speak, is_eager=True, metavar="en|ko", help="Language of messages; else the locale's."),
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
) -> None:
    if debug:
        os.environ["CLEARHEAD_DEBUG"] = "1"
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


VERBS = (
    demo.demo, train.train, translate.translate, classify.classify, generate.generate, evaluate.evaluate,
    inspect.inspect, few_shot.few_shot, gain.gain, compare.compare, data.data, import_.import_, export.export,
    version.version,
)  # fmt: skip
for verb in VERBS:
    app.command(verb.__name__.strip("_").replace("_", "-"))(verb)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    code = run()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # A process of a team: an ordinary exit takes C++ apart while gloo's threads still run. Now and then that aborts
        # a process whose work is done, which torchrun takes for a failure of the whole job (seen with torch 2.13).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; whatever went wrong has become one line on stderr."""
    return exit_code_of(lambda: app(args=arguments, prog_name="clearhead", standalone_mode=False))


def exit_code_of(work: Callable[[], object]) -> int:
    """Return the exit code that ``work`` comes to: what it returns, 0 where that is none, or an error's."""
    try:
        result = work()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (BrokenPipeError, SystemExit):  # typer makes the one into the other, and raises no other SystemExit
        # Whoever read our output has gone; what Python would still flush at exit has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        return _explain(error)


def _explain(error: BaseException) -> int:
    """Print what went wrong as one line and return the exit code."""
    known = as_clearhead_error(error)
    if os.environ.get("CLEARHEAD_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    if known is None:
        sentence = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"clearhead{_process()}:", errors.text("bug", problem=sentence), file=sys.stderr)
        return 1
    print(f"clearhead{_process()}:", " ".join(known.message().splitlines()), file=sys.stderr)
    return known.exit_code


def _process() -> str:
    """Return which of the processes that torchrun has started this is, where it is not the first or only one."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f" (process {rank})"


def as_clearhead_error(error: BaseException) -> ClearheadError | None:
    """Return ``error`` as something the user can act on; None if it is a bug of ours."""
    if isinstance(error, ClearheadError):
        return error
    if isinstance(error, CommandLineProblem):
        return _as_usage_error(error)
    said = str(error).replace("illegal memory access", "")  # a fault on a GPU, whatever room there is
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in said):
        return MachineError("no-memory")  # torch words it "not enough memory" (CPU) and "out of memory" (GPU)
    kinds = {kind.__name__ for kind in type(error).__mro__}  # NCCL's errors have a class of their own
    lost = "by peer" in str(error) or "Timed out waiting" in str(error)  # as gloo words it
    if "DistError" in kinds or (isinstance(error, RuntimeError) and lost):
        return MachineError("peer-lost", problem=str(error).splitlines()[0])
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return MachineError("no-space", path=error.filename or os.getcwd())
        if error.filename is not None:
            return MachineError("no-access", path=error.filename, problem=error.strerror)
    if "No space left on device" in str(error):  # as the safetensors library words it
        return MachineError("no-space", path=os.getcwd())
    return None


def _as_usage_error(error: BaseException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "clearhead"
    option = getattr(error, "option_name", None)
    if type(error).__name__ == "NoSuchOption" and context and option:
        options = [name for parameter in context.command.get_params(context) for name in parameter.opts]
        options = [name for name in options if name.startswith("--")]
        nearest = difflib.get_close_matches(option, options, n=1, cutoff=0.0)[0]
        return UsageError("unknown-option", command=command, option=option, nearest=nearest)
    if type(error).__name__ == "MissingParameter":
        parameter = error.param  # type: ignore[attr-defined]
        name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name.upper()
        return UsageError("missing-argument", command=command, name=name)
    return UsageError("bad-usage", command=command, problem=error.format_message())  # type: ignore[attr-defined]
