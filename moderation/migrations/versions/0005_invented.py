"""Which comments are invented, for demonstration"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade():
    op.add_column("comment", sa.Column("invented", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_comment_invented",
        "comment",
        ["invented"],
        sqlite_where=sa.text("invented IS 1"),
        postgresql_where=sa.text("invented IS TRUE"),
    )


def downgrade():
    op.drop_index("ix_comment_invented", "comment")
    op.drop_column("comment", "invented")
