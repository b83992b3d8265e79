"""Scopes of API keys"""

import sqlalchemy as sa
from alembic import op

revision = "0003_key_scopes"
down_revision = "0002"


def upgrade():
    # Keys made before could do what there was to do then: score.
    op.add_column("api_key", sa.Column("scopes", sa.String(200), nullable=False, server_default="score"))


def downgrade():
    op.drop_column("api_key", "scopes")
