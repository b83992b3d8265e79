"""The moderators' desk: revisions, scores, queue, decisions, people, thresholds, training, erasure, outbox"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TIME = sa.DateTime(timezone=True)
APPEND_ONLY = ("decision", "activation", "threshold", "erasure")


def upgrade():
    op.create_table(
        "activation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("previous", sa.String(100), nullable=False),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("comments", sa.Integer(), nullable=False),
        sa.Column("revisions", sa.Integer(), nullable=False),
        sa.Column("exports", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_erasure_subject", "erasure", ["subject"])
    op.create_table(
        "export",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("path"),
    )
    op.create_table(
        "moderator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password", sa.String(300), nullable=True),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("locked_until", TIME, nullable=True),
        sa.Column("setup", sa.String(64), nullable=True),
        sa.Column("setup_until", TIME, nullable=True),
        sa.Column("sessions_from", TIME, nullable=False),
        sa.Column("disabled", TIME, nullable=True),
        sa.Column("preferences", sa.JSON(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.CheckConstraint("role IN ('moderator', 'lead', 'admin')", name="role_known"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("setup"),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "threshold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(20), nullable=False),
        sa.Column("section", sa.String(200), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("previous", sa.Double(), nullable=True),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_threshold_label", "threshold", ["label", "section", "id"])
    op.create_table(
        "training",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("step", sa.String(200), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("version", sa.String(100), nullable=False),
        sa.Column("against", sa.String(100), nullable=False),
        sa.Column("preview", sa.JSON(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("seen", TIME, nullable=False),
        sa.Column("finished", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("moderator_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(10), nullable=True),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("undone", TIME, nullable=True),
        sa.ForeignKeyConstraint(["moderator_id"], ["moderator.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_batch_moderator_id", "batch", ["moderator_id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(36), nullable=False),
        sa.Column("comment_id", sa.String(200), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try", TIME, nullable=True),
        sa.Column("delivered", TIME, nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["comment_id"], ["comment.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event"),
    )
    op.create_index("ix_outbox_comment_id", "outbox", ["comment_id"])
    op.create_index("ix_outbox_next_try", "outbox", ["next_try", "id"])
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("comment_id", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.ForeignKeyConstraint(["comment_id"], ["comment.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("comment_id", "number"),
    )
    op.create_table(
        "score",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("comment_id", sa.String(200), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("section", sa.String(200), nullable=False),
        sa.Column("abusive", sa.Double(), nullable=True),
        sa.Column("mocking", sa.Double(), nullable=True),
        sa.Column("off_topic", sa.Double(), nullable=True),
        sa.Column("abusive_threshold", sa.Double(), nullable=False),
        sa.Column("mocking_threshold", sa.Double(), nullable=False),
        sa.Column("off_topic_threshold", sa.Double(), nullable=False),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(10), nullable=True),
        sa.Column("sampling_probability", sa.Double(), nullable=False),
        sa.Column("scored", TIME, nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["comment_id"], ["comment.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("revision_id", "model"),
    )
    op.create_index("ix_score_comment_id", "score", ["comment_id"])
    op.create_index("ix_score_week", "score", ["live", "week", "model"])
    op.create_table(
        "suggestion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("comment_id", sa.String(200), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["comment_id"], ["comment.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_suggestion_comment_id", "suggestion", ["comment_id"])
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("comment_id", sa.String(200), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("score_id", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(10), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("article_id", sa.String(200), nullable=True),
        sa.Column("section", sa.String(200), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("abusive", sa.Double(), nullable=True),
        sa.Column("mocking", sa.Double(), nullable=True),
        sa.Column("off_topic", sa.Double(), nullable=True),
        sa.Column("flag_abusive", sa.Boolean(), nullable=False),
        sa.Column("flag_mocking", sa.Boolean(), nullable=False),
        sa.Column("flag_off_topic", sa.Boolean(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.Column("margin", sa.Double(), nullable=False),
        sa.Column("entered", TIME, nullable=False),
        sa.Column("lease_id", sa.Integer(), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("not_for", sa.String(200), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=True),
        sa.Column("reason", sa.String(10), nullable=True),
        sa.Column("decided_by", sa.String(200), nullable=False),
        sa.Column("decided", TIME, nullable=True),
        sa.Column("decision_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("source IN ('flagged', 'audit', 'double', 'contested', 'reported')", name="source_known"),
        sa.CheckConstraint("status IN ('open', 'deferred', 'decided', 'withdrawn')", name="status_known"),
        sa.ForeignKeyConstraint(["comment_id"], ["comment.id"]),
        sa.ForeignKeyConstraint(["lease_id"], ["moderator.id"]),
        sa.ForeignKeyConstraint(["pair_id"], ["item.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"]),
        sa.ForeignKeyConstraint(["score_id"], ["score.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_item_abusive", "item", ["status", "flag_abusive", "abusive", "id"])
    op.create_index("ix_item_article", "item", ["article_id", "status"])
    op.create_index("ix_item_author", "item", ["author", "status"])
    op.create_index("ix_item_comment_id", "item", ["comment_id"])
    op.create_index("ix_item_decided", "item", ["decided"])
    op.create_index("ix_item_entered", "item", ["status", "entered", "id"])
    op.create_index("ix_item_lease", "item", ["lease_id", "status"])
    op.create_index("ix_item_margin", "item", ["status", "margin", "id"])
    op.create_index("ix_item_mocking", "item", ["status", "flag_mocking", "mocking", "id"])
    op.create_index("ix_item_off_topic", "item", ["status", "flag_off_topic", "off_topic", "id"])
    op.create_index("ix_item_pair_id", "item", ["pair_id"])
    op.create_index("ix_item_probability", "item", ["status", "probability"])
    op.create_index("ix_item_rank", "item", ["status", "rank", "id"])
    op.create_index("ix_item_revision_id", "item", ["revision_id"])
    op.create_index("ix_item_score_id", "item", ["score_id"])
    op.create_index("ix_item_section", "item", ["status", "section", "rank"])
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("comment_id", sa.String(200), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("moderator_id", sa.Integer(), nullable=True),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(10), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("request", sa.String(200), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("source", sa.String(10), nullable=False),
        sa.CheckConstraint("(verdict = 'reject') = (reason IS NOT NULL)", name="reason_with_reject"),
        sa.CheckConstraint("(verdict = 'undo') = (undoes IS NOT NULL)", name="undoes_with_undo"),
        sa.CheckConstraint(
            "reason IS NULL OR reason IN ('abusive', 'mocking', 'off_topic', 'other')", name="reason_known"
        ),
        sa.CheckConstraint("verdict IN ('approve', 'reject', 'defer', 'undo')", name="verdict_known"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"]),
        sa.ForeignKeyConstraint(["comment_id"], ["comment.id"]),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"]),
        sa.ForeignKeyConstraint(["moderator_id"], ["moderator.id"]),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"]),
        sa.ForeignKeyConstraint(["undoes"], ["decision.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request"),
        sa.UniqueConstraint("undoes"),
    )
    op.create_index("ix_decision_at", "decision", ["at"])
    op.create_index("ix_decision_batch_id", "decision", ["batch_id"])
    op.create_index("ix_decision_comment_id", "decision", ["comment_id"])
    op.create_index("ix_decision_item_id", "decision", ["item_id"])
    op.create_index("ix_decision_moderator", "decision", ["moderator_id", "id"])
    op.add_column("article", sa.Column("section", sa.String(200), nullable=False, server_default=""))
    op.execute("INSERT INTO revision (comment_id, number, text, created) SELECT id, 1, text, created FROM comment")
    with op.batch_alter_table("comment") as table:
        for name in ("parent_id", "author", "section"):
            table.add_column(sa.Column(name, sa.String(200), nullable=False, server_default=""))
        table.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("posted", TIME))
        table.add_column(sa.Column("verdict", sa.String(10)))
        table.add_column(sa.Column("reason", sa.String(10)))
        table.add_column(sa.Column("decided", TIME))
        table.add_column(sa.Column("erasure_id", sa.Integer()))
        table.drop_column("text")
        table.create_foreign_key("comment_erasure_id_fkey", "erasure", ["erasure_id"], ["id"])
    op.execute("UPDATE comment SET posted = created")
    with op.batch_alter_table("comment") as table:
        table.alter_column("posted", nullable=False, existing_type=TIME)
    op.create_index("ix_comment_author", "comment", ["author", "posted"])
    op.create_index("ix_comment_created", "comment", ["created"])
    op.create_index("ix_comment_parent_id", "comment", ["parent_id"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SEARCH_SQLITE if sqlite else _SEARCH_POSTGRESQL:
        op.execute(statement)
    for name in APPEND_ONLY:
        for statement in _append_only_sqlite(name) if sqlite else _append_only_postgresql(name):
            op.execute(statement)


def downgrade():
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        for action in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER revision_text_{action}")
        op.execute("DROP TABLE revision_text")
    op.add_column("comment", sa.Column("text", sa.Text(), nullable=False, server_default=""))
    op.execute(
        "UPDATE comment SET text = (SELECT text FROM revision"
        " WHERE revision.comment_id = comment.id AND revision.number = comment.revision)"
    )
    for index in ("ix_comment_author", "ix_comment_created", "ix_comment_parent_id"):
        op.drop_index(index, "comment")
    with op.batch_alter_table("comment") as table:
        table.drop_constraint("comment_erasure_id_fkey", type_="foreignkey")
        for name in ("parent_id", "author", "section", "revision", "posted", "verdict", "reason", "decided"):
            table.drop_column(name)
        table.drop_column("erasure_id")
    op.drop_column("article", "section")
    for name in (
        "suggestion",
        "decision",
        "item",
        "score",
        "revision",
        "outbox",
        "batch",
        "training",
        "threshold",
        "secret",
        "moderator",
        "export",
        "erasure",
        "activation",
    ):
        op.drop_table(name)
    if not sqlite:
        op.execute("DROP FUNCTION append_only")


# Full-text search over the texts, kept in step by the database.
_SEARCH_SQLITE = (
    "CREATE VIRTUAL TABLE revision_text USING fts5("
    "text, content='revision', content_rowid='id', tokenize='unicode61 remove_diacritics 0', prefix='3')",
    "INSERT INTO revision_text (revision_text) VALUES ('rebuild')",
    "CREATE TRIGGER revision_text_insert AFTER INSERT ON revision BEGIN"
    " INSERT INTO revision_text (rowid, text) VALUES (new.id, new.text); END",
    "CREATE TRIGGER revision_text_delete AFTER DELETE ON revision BEGIN"
    " INSERT INTO revision_text (revision_text, rowid, text) VALUES ('delete', old.id, old.text); END",
    "CREATE TRIGGER revision_text_update AFTER UPDATE OF text ON revision BEGIN"
    " INSERT INTO revision_text (revision_text, rowid, text) VALUES ('delete', old.id, old.text);"
    " INSERT INTO revision_text (rowid, text) VALUES (new.id, new.text); END",
)
_SEARCH_POSTGRESQL = ("CREATE INDEX ix_revision_text ON revision USING gin (to_tsvector('simple', text))",)


def _append_only_sqlite(table):
    for action in ("UPDATE", "DELETE"):
        yield (
            f"CREATE TRIGGER {table}_refuses_{action.lower()} BEFORE {action} ON {table} BEGIN"
            f" SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _append_only_postgresql(table):
    yield (
        "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    yield (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )
