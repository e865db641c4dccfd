"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stepsize_idempotency_keys",
        sa.Column("project", sa.String(length=100), server_default="default", nullable=False),
        sa.Column("scope", sa.String(length=500), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "scope", "key", name=op.f("pk_stepsize_idempotency_keys")),
    )
    op.create_index(
        op.f("ix_stepsize_idempotency_keys_created_at"), "stepsize_idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "stepsize_jobs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=100), server_default="default", nullable=False),
        sa.Column("kind", sa.String(length=20), server_default="tune", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=30), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("desired", sa.String(length=20), nullable=False),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("warnings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("trainer_name", sa.Text(), nullable=False),
        sa.Column("trainer_version", sa.Text(), nullable=True),
        sa.Column("gpus", sa.Double(), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(length=20), nullable=True),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("findings", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("waits_for", sa.String(length=64), nullable=True),
        sa.Column("total_cells", sa.BigInteger(), nullable=True),
        sa.Column("n_trials", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_counted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_confirming", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_running", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_completed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_pruned", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_infeasible", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_cancelled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("best_trial", sa.Integer(), nullable=True),
        sa.Column("gpu_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("work_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stepsize_jobs")),
    )
    op.create_index(
        op.f("ix_stepsize_jobs_project_created_at_id"), "stepsize_jobs", ["project", "created_at", "id"], unique=False
    )
    op.create_index(
        op.f("ix_stepsize_jobs_state_priority_created_at"),
        "stepsize_jobs",
        ["state", "priority", "created_at"],
        unique=False,
    )
    op.create_table(
        "stepsize_releases",
        sa.Column("revision", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_stepsize_releases")),
    )
    op.create_table(
        "stepsize_reports",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.String(length=100), server_default="default", nullable=False),
        sa.Column("values", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("elapsed_s", sa.Double(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", "step", name=op.f("pk_stepsize_reports")),
    )
    op.create_index(op.f("ix_stepsize_reports_job_id_change"), "stepsize_reports", ["job_id", "change"], unique=False)
    op.create_table(
        "stepsize_workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=100), server_default="default", nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("slots", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("trainers", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stepsize_workers")),
    )
    op.create_table(
        "stepsize_answers",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=100), server_default="default", nullable=False),
        sa.Column("speaks_of", sa.Integer(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["stepsize_jobs.id"], name=op.f("fk_stepsize_answers_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_stepsize_answers")),
    )
    op.create_table(
        "stepsize_trials",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(length=100), server_default="default", nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=30), nullable=True),
        sa.Column("params", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("values", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("objective", sa.Double(), nullable=True),
        sa.Column("stand_in", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("study_attrs", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=True),
        sa.Column("enqueued", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("checkpoint_step", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses_of_worker", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses_in_a_row", sa.Integer(), server_default="0", nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("replicate_of", sa.Integer(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("lease_s", sa.Double(), nullable=True),
        sa.Column("judged_step", sa.BigInteger(), nullable=True),
        sa.Column("data_hash", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("gpu_seconds", sa.Double(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("artifacts", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "objective IS NULL OR (objective > -1e308 AND objective < 1e308)",
            name=op.f("ck_stepsize_trials_objective_finite"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["stepsize_jobs.id"], name=op.f("fk_stepsize_trials_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_stepsize_trials")),
        sa.UniqueConstraint("job_id", "cell", name=op.f("uq_stepsize_trials_job_id_cell")),
    )
    op.create_index(op.f("ix_stepsize_trials_job_id_change"), "stepsize_trials", ["job_id", "change"], unique=False)
    op.create_index(
        op.f("ix_stepsize_trials_job_id_state_objective"),
        "stepsize_trials",
        ["job_id", "state", "objective"],
        unique=False,
    )
    op.create_index(
        op.f("ix_stepsize_trials_project_created_at_job_id_number"),
        "stepsize_trials",
        ["project", "created_at", "job_id", "number"],
        unique=False,
    )
    op.create_index(
        "ix_stepsize_trials_running",
        "stepsize_trials",
        ["worker"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_stepsize_trials_running", table_name="stepsize_trials", postgresql_where=sa.text("state = 'running'")
    )
    op.drop_index(op.f("ix_stepsize_trials_project_created_at_job_id_number"), table_name="stepsize_trials")
    op.drop_index(op.f("ix_stepsize_trials_job_id_state_objective"), table_name="stepsize_trials")
    op.drop_index(op.f("ix_stepsize_trials_job_id_change"), table_name="stepsize_trials")
    op.drop_table("stepsize_trials")
    op.drop_table("stepsize_answers")
    op.drop_table("stepsize_workers")
    op.drop_index(op.f("ix_stepsize_reports_job_id_change"), table_name="stepsize_reports")
    op.drop_table("stepsize_reports")
    op.drop_table("stepsize_releases")
    op.drop_index(op.f("ix_stepsize_jobs_state_priority_created_at"), table_name="stepsize_jobs")
    op.drop_index(op.f("ix_stepsize_jobs_project_created_at_id"), table_name="stepsize_jobs")
    op.drop_table("stepsize_jobs")
    op.drop_index(op.f("ix_stepsize_idempotency_keys_created_at"), table_name="stepsize_idempotency_keys")
    op.drop_table("stepsize_idempotency_keys")
