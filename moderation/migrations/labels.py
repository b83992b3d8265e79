"""What a new label needs in a database that is in use already."""

import re

import sqlalchemy as sa
from alembic import op

from moderation.comments import LABELS
from moderation.store import REASONS


def add_label(name: str) -> None:
    """Add the columns of a label, its indexes, and the reason for which a comment can be rejected then.

    Comments that were scored before have no score of it, and are not flagged for it.
    """
    op.add_column("score", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("score", sa.Column(f"{name}_threshold", sa.Double(), nullable=False, server_default="1"))
    op.add_column("item", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("item", sa.Column(f"flag_{name}", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(f"ix_item_{name}", "item", ["status", f"flag_{name}", name, "id", "source"])
    op.drop_index("ix_item_flags", "item")
    op.create_index("ix_item_flags", "item", ["status", *(f"flag_{label}" for label in LABELS)])
    op.drop_index("ix_item_open", "item")
    opened = sa.text("status = 'open'")
    columns = ["status", "revision_id", "id", "source", "not_for", "section", "probability", "rank", "margin"]
    columns += ["entered", *(f"flag_{label}" for label in LABELS), *LABELS]
    op.create_index("ix_item_open", "item", columns, sqlite_where=opened, postgresql_where=opened)
    known = f"reason IS NULL OR reason IN {REASONS}"
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.drop_constraint("reason_known", "decision", type_="check")
        op.create_check_constraint("reason_known", "decision", known)
        return
    # SQLite changes no constraint but this way (https://www.sqlite.org/lang_altertable.html#otheralter); making the
    # table anew would have to delete decisions, which the database refuses.
    [table] = connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE name = 'decision'").scalars()
    changed, found = re.subn(r"reason IS NULL OR reason IN \([^)]*\)", known, table)
    if found != 1:
        raise RuntimeError("the table of decisions is not as it should be")
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql("UPDATE sqlite_schema SET sql = ? WHERE name = 'decision'", (changed,))
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
