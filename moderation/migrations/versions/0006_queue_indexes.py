"""An index for the newest decisions, and one that answers for a section alone"""

from alembic import op

revision = "0006"
down_revision = "0005"

SECTION = ["status", "section", "rank"]


def upgrade():
    op.create_index("ix_item_newest", "item", ["status", "decided", "id", "source"])
    op.drop_index("ix_item_section", "item")
    op.create_index("ix_item_section", "item", [*SECTION, "id", "probability", "source"])


def downgrade():
    op.drop_index("ix_item_section", "item")
    op.create_index("ix_item_section", "item", SECTION)
    op.drop_index("ix_item_newest", "item")
