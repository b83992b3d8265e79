"""An index that answers for the numbers at the head of the desk"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade():
    op.create_index("ix_item_flags", "item", ["status", "flag_abusive", "flag_mocking", "flag_off_topic"])


def downgrade():
    op.drop_index("ix_item_flags", "item")
