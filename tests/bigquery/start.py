"""Starts bqemulator 1.4 so that rows can be loaded as into BigQuery.

Left out is what loading rows does not need and this machine may not have: the engine downloads DuckDB's spatial extension
at each start, and its SQL functions in Python need numpy.

Put in is what BigQuery's documents say and the emulator does not do: the job of an upload has the id that its
`jobReference` says, and there is no second job of an id (409 `duplicate`).
"""

import sys

from bqemulator.api.routes import upload
from bqemulator.domain.errors import ResourceRef, resource_already_exists
from bqemulator.storage.engine import DuckDBEngine

DuckDBEngine._load_spatial = lambda self: None
DuckDBEngine._register_builtin_udfs = lambda self: None

configuration_of, run_load, new_id = upload._load_configuration_from_envelope, upload._run_load, upload._new_job_id


def configuration_with_id(envelope):
    return {**configuration_of(envelope), "jobReference": envelope.get("jobReference") or {}}


async def run_load_once(*, project_id, configuration, media_path, ctx):
    job_id = configuration.pop("jobReference").get("jobId") or new_id()
    if ctx.catalog.get_job(project_id, job_id) is not None:
        raise resource_already_exists(ResourceRef("job", project_id, resource_id=job_id))
    # It asks for the id before it waits for anything.
    upload._new_job_id = lambda: job_id
    return await run_load(project_id=project_id, configuration=configuration, media_path=media_path, ctx=ctx)


upload._load_configuration_from_envelope = configuration_with_id
upload._run_load = run_load_once

from bqemulator.cli import main  # noqa: E402

sys.exit(main())
