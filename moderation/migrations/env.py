from alembic import context
from sqlalchemy import create_engine, event, pool, text

from moderation.store import Base

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
sqlite = engine.dialect.name == "sqlite"

if sqlite:
    # SQLite can change tables within a transaction, which Python's driver would break up: a migration that is cut off
    # leaves nothing behind, and of two processes that start together the second waits.
    @event.listens_for(engine, "connect")
    def on_connect(connection, record):
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 60000")

    @event.listens_for(engine, "begin")
    def on_begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if not sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(7130042)"))
        context.run_migrations()
