"""What commands print: everything on standard output and standard error passes one of these functions."""

from __future__ import annotations

import io
import logging
import sys

import click

from iecpod.printable import printable, printable_entry


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Text for people; nothing in it acts on their terminal, whoever wrote it."""
    click.echo(printable(str(text)), err=err, nl=nl)


def echo_entry(text: str, *, err: bool = True) -> None:
    """One entry of several: its further lines are indented, so that none of them passes for another entry."""
    echo(printable_entry(text), err=err)


def echo_json(text: str) -> None:
    """JSON as `json.dumps` writes it, and still the same value: of what terminals act on, it escapes all but DEL."""
    echo(text.removesuffix("\n").replace("\x7f", "\\u007f"))


def echo_document(text: str) -> None:
    """What other programs read, byte for byte; as `echo` where people read it, on a terminal."""
    if sys.stdout.isatty():
        echo(text, nl=False)
    else:
        click.echo(text.encode(errors="surrogateescape"), nl=False)


def ask_password(question: str) -> str:
    """On the terminal, without showing it; an empty answer is asked for again."""
    return str(click.prompt(printable(question), hide_input=True, err=True))


def echo_usage_error(error: click.ClickException) -> None:
    """Words of the command line are in it."""
    message = io.StringIO()
    error.show(message)
    echo(message.getvalue(), err=True, nl=False)


class PrintableFormatter(logging.Formatter):
    """Logs are read on terminals, too."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_entry(super().format(record))
