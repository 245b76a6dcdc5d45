"""Dumps for tests: what their lines hold and how a file of them is written."""

import io
import json

import psutil
import zstandard
from django.core.management import CommandError, call_command

from tests.factories import CREATED_UTC, PostData

RETRIEVED = CREATED_UTC + 100_000


def ndjson(*items):
    return b"".join(
        (item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items
    )


def posts(*numbers, without=(), **changes):
    made = [PostData(number=number, **changes) for number in numbers]
    return [{key: value for key, value in data.items() if key not in without} for data in made]


def zstd(data, window_log=None):
    if window_log is None:
        return zstandard.compress(data)
    parameters = zstandard.ZstdCompressionParameters(
        window_log=window_log, enable_ldm=True, compression_level=1
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(data) + compressor.flush()


def command(*arguments):
    """The exit code of the command and what it printed."""
    output, errors = io.StringIO(), io.StringIO()
    try:
        call_command("import_dump", *map(str, arguments), stdout=output, stderr=errors)
    except SystemExit as end:
        return end.code, output.getvalue() + errors.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, output.getvalue() + errors.getvalue()


def readers(process):
    """The processes that read for this one."""
    return [
        child
        for child in process.children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "reader_process" in " ".join(child.cmdline())
    ]
