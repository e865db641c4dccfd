"""Jobs know for how many waiting clients there is nothing on offer."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("stepsize_jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("n_asking", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("stepsize_jobs", schema=None) as batch_op:
        batch_op.drop_column("n_asking")
