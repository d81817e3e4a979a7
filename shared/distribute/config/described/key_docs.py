"""What each key of the files means, for the JSON Schemas and for docs/keys.md.

It stands apart from the models: `add` reads 100,000 jobs by those, and needs no prose. A test demands that
every key has its words here.
"""

from __future__ import annotations

from collections.abc import Mapping

from distribute.config.described.key_doc import SIGNAL, KeyDoc
from distribute.config.described.notify_key_docs import NOTIFY_DOCS
from distribute.config.described.sweep_key_docs import SWEEP_DOCS
from distribute.config.sections.after import AfterRef
from distribute.config.sections.file_refs import FileRef, GitRef, TreeKeys
from distribute.config.sections.jobs_file import (
    ApptainerBatch,
    ApptainerInitialize,
    CommandBatch,
    CommandInitialize,
    CommandJob,
    FinalJob,
    JobEntry,
    JobsFile,
    Meta,
    PythonBatch,
    PythonInitialize,
    PythonJob,
)
from distribute.config.sections.needs_sections import (
    Gpus,
    GpusPattern,
    Resources,
    ResourcesPattern,
    SignalBefore,
    SignalPattern,
)
from distribute.config.sections.section import Section
from distribute.config.sections.slurm_section import Slurm, SlurmPattern
from distribute.config.settings.settings import (
    ClientSettings,
    ClusterSettings,
    NodeSettings,
    ServerSettings,
    SlurmSettings,
)

D = KeyDoc

_JOBS = "The jobs, each with a name of its own: from 1 to 100,000"
_NO_LIST = "none, besides those of the sweep"
_JOB = "The pattern of the jobs of `sweep`: what each of them is, with placeholders"
_BATCH_ENV = (
    "Environment variables of all jobs and of the build. Names that begin with DISTRIBUTE_ are reserved"
)
_BATCH_FILES = "Files that every job finds{}. A file of a job replaces one of the batch with its name"
_CAPABILITIES_OF_BATCH = "The batch runs only on nodes that have all of these. `distribute nodes` lists them"

_JOBS_FILE: Mapping[type[Section], Mapping[str, KeyDoc]] = {
    JobsFile: {
        "meta": D("The name of the batch, and what its jobs need"),
        "python": D("A batch of Python scripts. A file has one of `python`, `command` and `apptainer`"),
        "command": D("A batch of commands: of programs that the nodes have, or that the build makes"),
        "apptainer": D("A batch that runs a container: one image, which each job runs once"),
        "sweep": D(
            "Points of parameters: each becomes a job, after the pattern `job` of the batch's kind. See "
            "docs/sweeps.md",
            "none",
        ),
        "finally": D(
            "A job that runs when all others are over, and finds what they left in `./input/results/JOB/`. "
            "See docs/jobs-file.md",
            "none",
        ),
        "slurm": D("Options of sbatch for all jobs, under its names. A job's own options override them"),
    },
    Meta: {
        "namespace": D("Whose batch it is: a person, a project. It becomes a folder of the archive"),
        "batch_name": D("The name of the batch, new in its namespace. It becomes the folder of its results"),
        "matrix": D(
            "The Matrix user who is told what becomes of the batch, if the head has an account for messages. "
            "See docs/notifications.md",
            "none",
        ),
        "notify": D(
            "What to tell beside the end of the batch, the failure of its build and its kill by somebody "
            "else: `start`, `first_failure`, or both",
            "no more than that",
        ),
        "capabilities": D(_CAPABILITIES_OF_BATCH),
        "priority": D("Batches of a higher priority go first"),
        "resources": D("What each job gets of a node", "a whole node"),
        "timeout": D("The longest a job may run. Time in which it is paused does not count", "none"),
        "build_timeout": D("The longest that a build may take on a node. The jobs then go to others", "none"),
        "grace": D(
            "How long a job or build may clean up when it is ended, from SIGTERM to SIGKILL. 0: not at all",
            "the node's, 5s",
        ),
        "signal_before": D(SIGNAL, "no signal"),
        "retries": D(
            "How often a job that failed is tried again. If a node is lost, its jobs run again without "
            "using up a retry"
        ),
        "max_running": D("The most jobs of the batch that run at a time, on all nodes together", "no limit"),
        "max_failures": D(
            "Once so many of its jobs have failed for good, no other begins. What runs then may end",
            "no limit",
        ),
        "after": D(
            "Batches that must have succeeded first. With `{batch: BATCH, when: any}` it may have failed. "
            "`last` is the batch that you submitted last",
            "it waits for none",
        ),
        "not_before": D("None of its jobs begins before this time", "it begins as soon as there is room"),
        "rebuild": D(
            "`always`: build this batch on each node, also where the same build of another batch is kept",
            "use a build that is kept",
        ),
        "setup": D("Lines for a shell that run before the build and before each job"),
        "shell": D(
            "The shell that runs the setup lines, and each build or command that is one text: bash, dash, "
            "ksh, mksh, sh or zsh, with options",
            "`bash -l` if there is `setup`, else sh",
        ),
    },
    AfterRef: {
        "batch": D("A batch of the same namespace, NAMESPACE/BATCH, or `last`"),
        "when": D("How it has to end: `succeeded`, or `any`"),
    },
    Resources: {
        "cpus": D("Cores for each job. No other job runs on them"),
        "memory": D("Memory for each job. A job that uses more is ended. 0: none is reserved"),
        "gpus": D("GPUs for each job: a number, or which GPUs suit"),
    },
    Gpus: {
        "count": D("How many GPUs each job gets"),
        "memory": D("The memory that each of the GPUs has at least, as it is sold. 0: any"),
        "model": D(
            "A regular expression (RE2) for a part of the GPU's name, in upper or lower case. "
            "`distribute nodes NAME` lists the names",
            "any",
        ),
    },
    SignalBefore: {
        "signal": D("The signal"),
        "seconds": D("How long before the timeout it comes: less than the timeout"),
    },
    FileRef: {
        "path": D(
            "The file, relative to the folder of this file. In `required_files` also a folder, or a glob for "
            "files and folders, in which `**` stands for any folders"
        ),
        "alias": D(
            "The name under which the job sees it. What a glob matches lies in a folder of this name",
            "its own name; what a glob matches lies directly in `input`",
        ),
    },
    TreeKeys: {
        "git": D(
            "A git checkout instead of `path`: sent as of a commit, which is kept with the batch. A folder "
            "in a checkout means that part of it",
            "`path` is sent as it is",
        ),
        "ref": D(
            "The branch, tag or commit of `git`, as it is in this checkout. Nothing is fetched",
            "HEAD; changes that are not committed are refused, or taken with `--dirty`",
        ),
        "exclude": D("What to leave out of a folder, or of what a glob matches: patterns as in a .gitignore"),
    },
    GitRef: {
        "path": D("The folder of the checkout, or a folder in it"),
        "ref": D("As `ref` beside `git`", "that, or HEAD"),
    },
    PythonBatch: {
        "initialize": D(
            "The build, which runs once on each node, and the files of all jobs", "no build, no files"
        ),
        "env": D(_BATCH_ENV),
        "jobs": D(_JOBS, _NO_LIST),
        "job": D(_JOB, "none"),
    },
    CommandBatch: {
        "initialize": D(
            "The build, which runs once on each node, and the files of all jobs", "no build, no files"
        ),
        "env": D(_BATCH_ENV),
        "jobs": D(_JOBS, _NO_LIST),
        "job": D(_JOB, "none"),
    },
    ApptainerBatch: {
        "initialize": D("The image, and the files and folders that all jobs find in the container"),
        "env": D(_BATCH_ENV),
        "jobs": D(_JOBS, _NO_LIST),
        "job": D(_JOB, "none"),
    },
    PythonInitialize: {
        "build_file": D(
            "A script that runs once on each node before its first job, as `python3 build.py`", "no build"
        ),
        "required_files": D(_BATCH_FILES.format(" in `./input`, and the build, too")),
    },
    CommandInitialize: {
        "build": D(
            "A command that runs once on each node before its first job: one text for a shell", "no build"
        ),
        "required_files": D(_BATCH_FILES.format(" in `./input`, and the build, too")),
    },
    ApptainerInitialize: {
        "sif": D("The image. Each job runs its app `distribute`, with the number of cores as the argument"),
        "required_files": D(_BATCH_FILES.format(" in `/input`")),
        "required_mounts": D("Folders in the container to which jobs write. Each job gets fresh, empty ones"),
    },
    JobEntry: {
        "name": D("The name of the job, new in the batch. It becomes the folder of the job's results"),
        "required_files": D(
            "Files that this job finds in `./input` (apptainer: `/input`), besides the batch's"
        ),
        "resources": D("What this job gets of a node. It replaces the batch's as a whole", "the batch's"),
        "timeout": D("The longest this job may run", "the batch's"),
        "grace": D("How long this job may clean up when it is ended", "the batch's"),
        "signal_before": D(SIGNAL, "the batch's"),
        "retries": D("How often this job is tried again if it failed", "the batch's"),
        "env": D("Environment variables of this job. They replace the batch's of the same names"),
        "slurm": D("Options of sbatch for this job. Each replaces the batch's", "the batch's"),
    },
    PythonJob: {
        "file": D("The script of the job. It runs as `python3 job.py`, with `args`"),
        "args": D(
            "The arguments of the script, in place of the number of cores, which `DISTRIBUTE_CPUS` has, too",
            "one argument, the number of cores",
        ),
    },
    FinalJob: {
        "file": D("In a batch of python: the script of the job"),
        "args": D("In a batch of python: the arguments of the script", "one argument, the number of cores"),
        "command": D("In a batch of command: what the job runs, a list or one text for a shell", "none"),
    },
    CommandJob: {
        "command": D("What the job runs: a list of a program and its arguments, or one text for a shell")
    },
    Slurm: {
        "job_name": D("The name of the job in SLURM", "the job's name"),
        "output": D("The file that gets what the job prints", "SLURM's"),
        "nodes": D("The number of nodes for each job", "SLURM's"),
        "ntasks": D("The number of tasks (processes of MPI) of each job", "SLURM's"),
        "cpus_per_task": D("The number of cpus for each task", "SLURM's"),
        "mem_per_cpu": D("The memory for each cpu, in the words of SLURM", "SLURM's"),
        "hint": D("What SLURM should know about the job", "none"),
        "time": D("The longest a job may run, in the words of SLURM; with quotes around it", "SLURM's"),
        "partition": D("The partition to which the jobs go", "SLURM's"),
        "account": D("The account that pays for the jobs", "SLURM's"),
        "mail_user": D("The address to which SLURM sends mail", "none"),
        "mail_type": D("On what SLURM sends mail, such as END or ALL", "none"),
    },
}

_SETTINGS: Mapping[type[Section], Mapping[str, KeyDoc]] = {
    ClientSettings: {
        "slurm": D("What `distribute slurm` has to know of a SLURM cluster", "none"),
    },
    SlurmSettings: {
        "username": D("Your name at the SLURM cluster, instead of `--cluster-username`", "none"),
        "address": D("The SLURM cluster, as ssh knows it, instead of `--cluster-address`", "none"),
        "container": D("The command that runs images there, with the arguments of Apptainer"),
        "setup": D(
            "Lines for bash before the build and before each job, as `module load` wants them", "none"
        ),
        "max_array_size": D(
            "How many tasks an array may have there, as `scontrol show config` says (MaxArraySize). Longer "
            "arrays are split"
        ),
    },
    ClusterSettings: {
        "server": D("The address of the cluster", "`DISTRIBUTE_SERVER`, or the cluster that `up` runs here"),
        "creds": D("The file with your key for the cluster, relative to this file", "none"),
    },
    NodeSettings: {
        "name": D("The node's name", "the name of the host"),
        "capabilities": D(
            "What the node can do, in addition to what it detects: `gpu`, `python3`, `python3.N`, and "
            "`apptainer` if a container runs there"
        ),
        "cpus": D(
            'How many cpus it lends. More than there are is an error. "All" respects the limits with which '
            "the node was started: its affinity (`taskset`), its cgroups (a container, systemd, SLURM) and "
            "`CUDA_VISIBLE_DEVICES`; so it does for `memory` and `gpus`",
            "all",
        ),
        "memory": D("How much memory it lends", "all"),
        "gpus": D("How many GPUs it lends", "all"),
        "count": D("What is a cpu: a physical core (`cores`), or each of its hardware threads (`threads`)"),
        "work_dir": D("The folder in which it works", "a folder below `~/.local/state/distribute`"),
        "grace": D(
            "How long a job may clean up when it is ended, between SIGTERM and SIGKILL, if it chooses no "
            "other. 0: SIGKILL at once"
        ),
        "nice": D("The niceness of its jobs"),
        "max_processes": D(
            "How many processes and threads a job may have at a time; it can start no more. Without a cgroup "
            "that counts them, the kernel counts all processes of the node's user, and the node ends a job "
            "that has more processes"
        ),
        "ionice": D(
            "`idle`: its jobs get the disk only if nobody else wants it (where the kernel's scheduler for "
            "the disk is BFQ). `none`: as other programs"
        ),
        "pause_when_active": D(
            "The node pauses as soon as somebody uses the computer, until nobody has for so long", "never"
        ),
        "lend": D(
            "The hours in which it is lent, by its own clock. Terms with commas between them: days (`sat`, "
            "`mon-fri`), hours (`18:00-08:00`, which go on into the next day), or both (`fri 18:00-24:00`)",
            "always",
        ),
        "load_limit": D(
            "The node pauses while other people's processes use more than so many cores, on average over a "
            "minute, and until they have used less for five minutes",
            "none",
        ),
        "vacate_after": D(
            "After a pause of so long, its jobs and builds are ended (jobs: SIGTERM, grace, SIGKILL), what "
            "they left is archived, and they run elsewhere",
            "never",
        ),
        "max_cache": D("How many bytes of inputs and builds it keeps for later batches"),
        "keep_free": D(
            "How much of the disk of `work_dir` its jobs leave free. With less, no job begins; with less "
            "than half of it, the job that has written most to its folder is ended, and fails with that "
            "reason",
            "1G, or 2 % of a smaller disk",
        ),
        "build_copies": D(
            "How jobs get their copies of a build, at best: `overlay`, `bind` (a real copy, mounted where "
            "the build ran), or `copy` (in a folder of its own). With `copy`, jobs of a node that is not "
            "root's keep the power of setuid programs such as `sudo`. `distribute nodes NAME` says which it "
            "is"
        ),
        "max_pause": D("The longest pause. A longer one is cut to this"),
        "max_unseen": D(
            "When its node-runner was killed or ended and doesn't come back: after so long, the jobs that "
            "it left are ended. They run again elsewhere, or when the node is back"
        ),
        "superseded_keep": D(
            "How long it keeps what a job left that was given to another node while this one was out of "
            "touch. It does not count; `status JOB` says where it is. Together at most as many bytes as "
            "`max_cache`, and none of it if the disk is full"
        ),
        "pause_group": D(
            "A group of users who may pause and resume it at this computer, besides the node's own user and "
            "root",
            "none",
        ),
        "run_as": D(
            "Of a node that root started: the user as whom it runs jobs and builds. See docs/lab.md, Users",
            "its own user",
        ),
        "env": D(
            "Variables for its jobs. They replace those that a job gets from the node; `env` of a batch or "
            "job replaces them"
        ),
        "path": D("Folders that come first in the `PATH` of its jobs"),
    },
    ServerSettings: {
        "out_of_touch": D("A node that is silent for so long gets no new jobs", "15s"),
        "lost_after": D("After so much silence, its jobs can go to other nodes", "1m"),
        "patience_growth": D(
            "A job waits for its silent node for this share of the time that it has run, if that is longer "
            "than `lost_after`",
            "0.1",
        ),
        "longest_patience": D("But no longer than this, or than `lost_after` if that is longer", "30m"),
        "inputs_keep": D(
            "How long inputs stay that no batch names any more, since they were last submitted; `2d` or more",
            "7d",
        ),
    },
}

KEY_DOCS: Mapping[type[Section], Mapping[str, KeyDoc]] = {
    **_JOBS_FILE,
    **SWEEP_DOCS,
    **_SETTINGS,
    **NOTIFY_DOCS,
}
"""The words for each key, under the model that has the key first."""


WITHOUT_PLACEHOLDERS: Mapping[type[Section], type[Section]] = {
    ResourcesPattern: Resources,
    GpusPattern: Gpus,
    SignalPattern: SignalBefore,
    SlurmPattern: Slurm,
}
"""The sections of a sweep's pattern, and those whose keys mean the same."""


def doc_of(section: type[Section], key: str) -> KeyDoc:
    """What is said of a key of a section. The section may have it from a class above."""
    models = WITHOUT_PLACEHOLDERS.get(section, section).__mro__
    return next(docs[key] for model in models if (docs := KEY_DOCS.get(model, {})) and key in docs)
