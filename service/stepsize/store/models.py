"""The tables. Times are Unix seconds (double precision), judged by `db_now()` wherever a lease depends on them.

A job's `change` rises with every transaction that touches the job and stands on the rows that transaction wrote;
`revision` is the `change` of the last state change. The per-state counters make reading a job independent of its size.
Integers that clients or trainers choose (seeds up to 2**32, steps in frames, grid cells) are 64 bits wide.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from stepsize.domain.trial import TrialState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Not JSONB on PostgreSQL: it sorts keys (the order of a search space decides grid cells and draws) and turns 1e16 into
# an integer and -0.0 into 0.0. What was written must come back, or the two databases search differently.
Document = JSON(none_as_null=True)

jobs = Table(
    "stepsize_jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project", String(100), nullable=False, server_default="default"),
    Column("kind", String(20), nullable=False, server_default="tune"),
    Column("name", Text, nullable=False),
    Column("labels", Document, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", String(30)),
    Column("error", Text),
    Column("desired", String(20), nullable=False),
    Column("spec", Document, nullable=False),
    Column("warnings", Document, nullable=False),
    Column("provenances", Document),
    Column("trainer_name", Text, nullable=False),
    Column("trainer_version", Text),
    Column("gpus", Double, nullable=False),
    Column("cpus", Integer, nullable=False),
    Column("engine", String(20)),
    Column("details", Document),
    Column("findings", Document),
    Column("waits_for", String(64)),
    Column("total_cells", BigInteger),
    Column("n_trials", Integer, nullable=False, server_default="0"),
    Column("n_counted", Integer, nullable=False, server_default="0"),
    Column("n_confirming", Integer, nullable=False, server_default="0"),
    Column("n_asking", Integer, nullable=False, server_default="0"),
    *(Column(f"n_{state}", Integer, nullable=False, server_default="0") for state in TrialState),
    Column("best_trial", Integer),
    Column("gpu_seconds", Double, nullable=False, server_default="0"),
    Column("work_s", Double, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("revision", Integer, nullable=False),
    Column("change", Integer, nullable=False),
    Column("lease_owner", String(64)),
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("lease_expires_at", Double),
    Index(None, "project", "created_at", "id"),
    Index(None, "state", "priority", "created_at"),
)

trials = Table(
    "stepsize_trials",
    metadata,
    Column("job_id", String(64), ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("project", String(100), nullable=False, server_default="default"),
    Column("state", String(20), nullable=False),
    Column("reason", String(30)),
    Column("params", Document, nullable=False),
    Column("values", Document, nullable=False),
    Column("objective", Double),
    Column("stand_in", Document),
    Column("study_attrs", Document, nullable=False),
    Column("cell", BigInteger),
    Column("enqueued", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("step", BigInteger),
    Column("checkpoint_step", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("losses_of_worker", Integer, nullable=False, server_default="0"),
    Column("losses_in_a_row", Integer, nullable=False, server_default="0"),
    Column("purpose", String(20), nullable=False),
    Column("replicate_of", Integer),
    Column("seed", BigInteger, nullable=False),
    Column("worker", String(64)),
    Column("device", String(64)),
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("lease_expires_at", Double),
    Column("lease_s", Double),
    Column("judged_step", BigInteger),
    Column("data_hash", String(64)),
    Column("remark", Text),
    Column("provenance", String(64)),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("gpu_seconds", Double, nullable=False),
    Column("group", Document),
    Column("error", Document),
    Column("artifacts", Document, nullable=False),
    Column("change", Integer, nullable=False),
    # A grid is an exact ledger: the database itself refuses to hold a cell twice.
    UniqueConstraint("job_id", "cell"),
    CheckConstraint("objective IS NULL OR (objective > -1e308 AND objective < 1e308)", name="objective_finite"),
    Index(None, "job_id", "state", "objective"),
    Index(None, "job_id", "change"),
    Index(None, "project", "created_at", "job_id", "number"),
    Index("ix_stepsize_trials_running", "worker", postgresql_where=Column("state") == "running"),
)

reports = Table(
    "stepsize_reports",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("project", String(100), nullable=False, server_default="default"),
    Column("values", Document, nullable=False),
    Column("elapsed_s", Double, nullable=False),
    Column("change", Integer, nullable=False),
    Index(None, "job_id", "change"),
    # No foreign key: it would cost a look-up a report, and reports are only ever written beside their trial.
)

answers = Table(
    "stepsize_answers",
    metadata,
    Column("job_id", String(64), ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("project", String(100), nullable=False, server_default="default"),
    Column("speaks_of", Integer, nullable=False),
    Column("is_final", Boolean, nullable=False),
    Column("answer", Document, nullable=False),
    Column("report", Text),
    # A table of its own: a job's row is read and written with every trial, and a report has a hundred kilobytes.
)

workers = Table(
    "stepsize_workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project", String(100), nullable=False, server_default="default"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("slots", Document, nullable=False),
    Column("trainers", Document, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
)

provenances = Table(
    "stepsize_provenances",
    metadata,
    # Content-addressed, and shared by all jobs; rows are small and few, and outlive the jobs that brought them.
    Column("project", String(100), primary_key=True, server_default="default"),
    Column("id", String(64), primary_key=True),
    Column("provenance", Document, nullable=False),
    Column("created_at", Double, nullable=False),
)

releases = Table(
    "stepsize_releases",
    metadata,
    # Which version of Stepsize first brought the tables to a revision: older ones, to whom it is unknown, can say what
    # they lack. They read it, so its shape stays.
    Column("revision", String(32), primary_key=True),
    Column("version", Text, nullable=False),
)

idempotency_keys = Table(
    "stepsize_idempotency_keys",
    metadata,
    Column("project", String(100), primary_key=True, server_default="default"),
    Column("scope", String(500), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("resource", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "created_at"),
)
