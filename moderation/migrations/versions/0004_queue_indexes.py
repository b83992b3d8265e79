"""Indices that serve order, counts and histograms of a filtered queue"""

from alembic import op

revision = "0004"
down_revision = "0003_key_scopes"

BEFORE = {
    "ix_item_abusive": ["status", "flag_abusive", "abusive", "id"],
    "ix_item_mocking": ["status", "flag_mocking", "mocking", "id"],
    "ix_item_off_topic": ["status", "flag_off_topic", "off_topic", "id"],
    "ix_item_probability": ["status", "probability"],
    "ix_item_article": ["article_id", "status"],
    "ix_item_author": ["author", "status"],
}
MORE = {"ix_item_article": ["rank", "id"], "ix_item_author": ["rank", "id"]}


def upgrade():
    for name, columns in BEFORE.items():
        op.drop_index(name, "item")
        op.create_index(name, "item", columns + MORE.get(name, ["source"]))


def downgrade():
    for name, columns in BEFORE.items():
        op.drop_index(name, "item")
        op.create_index(name, "item", columns)
