"""What `distribute slurm OUTDIR` does: writes the folder that runs a batch on a SLURM cluster."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from pathlib import Path

from distribute.client.words import argument, printable
from distribute.config.settings.settings import load_client_settings
from distribute.core.errors import InputError
from distribute.core.words import counted, few
from distribute.sbatch.folder import plan
from distribute.sbatch.options import unsaid
from distribute.sbatch.scripts import Cluster
from distribute.sbatch.upload import Upload
from distribute_cli.loading import load_batch
from distribute_cli.local.slurm_folder import check_empty, write_folder
from distribute_cli.output.form import Output


@dataclass(frozen=True, slots=True)
class Where:
    """What the command line says of where the folder is uploaded to. None: nothing."""

    username: str | None
    address: str | None
    destination: str | None


async def write_batch(
    output: Output, outdir: Path, file: Path, where: Where, *, is_array: bool, dirty: bool
) -> None:
    """Write the folder of the batch in `file`, or nothing. `dirty`: see `load_batch`.

    Raises:
        InputError: something in the file or the command line can't be used at SLURM.
        DistributeError: the disk refuses the folder.
    """
    check_empty(outdir)
    upload, cluster = _settings(where)
    loaded = load_batch(output, file, dirty=dirty)
    planned = plan(loaded, cluster, upload, is_array=is_array)
    jobs, arrays = len(loaded.spec.work.jobs), len(planned.arrays())
    if loaded.file.meta.after:
        names = few([printable(one.batch) for one in loaded.file.meta.after])
        output.warn(f"after: SLURM knows nothing of {names}: schedule this folder once that is over")
    for line in (*loaded.warnings, *unsaid(loaded.spec, arrays)):
        output.warn(line)
    await asyncio.to_thread(write_folder, outdir, planned, loaded.sources, loaded.objects)
    shape = f", {counted(arrays, 'array')}" if is_array else ""
    document = {"folder": str(outdir), "batch": str(loaded.spec.id), "jobs": jobs, "arrays": arrays}
    output.done(f"{printable(str(outdir))} is written: {counted(jobs, 'job')}{shape}", document)
    output.hint(f"`sh {argument(f'{outdir}/rsync_upload.sh')}` uploads it, and says what to do then")


def _settings(where: Where) -> tuple[Upload, Cluster]:
    """Where the folder goes, and what that cluster has: by the command line, and by client.yaml."""
    settings = load_client_settings().slurm
    username, address = where.username or settings.username, where.address or settings.address
    if username is None or address is None or where.destination is None:
        values = {
            "--cluster-username": username,
            "--cluster-address": address,
            "--cluster-upload-destination": where.destination,
        }
        missing = [option for option, value in values.items() if value is None]
        raise InputError(
            f"the scripts must know where to upload to: add {', '.join(missing)}, for example "
            "--cluster-username jane --cluster-address login.cluster.example.org "
            "--cluster-upload-destination /scratch/jane/sweep3"
        )
    try:
        container = tuple(shlex.split(settings.container))
    except ValueError:
        raise InputError("client.yaml: slurm: container has a quote that is never closed") from None
    cluster = Cluster(container, settings.setup, settings.max_array_size)
    return Upload(username, address, where.destination), cluster
