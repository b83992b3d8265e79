"""An index that answers for whatever goes over all open items"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

COLUMNS = [
    *("status", "revision_id", "id", "source", "not_for", "section", "probability", "rank", "margin", "entered"),
    *("flag_abusive", "flag_mocking", "flag_off_topic", "abusive", "mocking", "off_topic"),
]


def upgrade():
    opened = sa.text("status = 'open'")
    op.create_index("ix_item_open", "item", COLUMNS, sqlite_where=opened, postgresql_where=opened)


def downgrade():
    op.drop_index("ix_item_open", "item")
