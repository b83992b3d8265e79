"""A copy of all that is worth keeping, made while the service runs."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from moderation import registry, store

DATABASE = "moderation.sqlite"


class BackupError(Exception):
    """A backup that cannot be made, and what to do."""


def backup(database_url: str, models: Path, target: Path) -> list[str]:
    """Copy the model versions, and a SQLite database as it is at one moment.

    Parameters
    ----------
    database_url : str
    models : path
        Folder of the model versions.
    target : path
        A folder that is not there yet; it appears whole or not at all.

    Returns
    -------
    list of str
        What was copied.

    Raises
    ------
    BackupError, OSError
    """
    if target.exists():
        raise BackupError(f"{target} exists; name a new folder")
    url = store.database(database_url)
    if url.get_backend_name() != "sqlite":
        shown = url.render_as_string(hide_password=True)
        raise BackupError(f"{shown} is not SQLite; use pg_dump for it, as docs/operate.md says, and copy {models}")
    if not url.database or not Path(url.database).exists():
        raise BackupError(f"there is no database {url.database}; nothing was copied")
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        (draft / "models").mkdir(parents=True)
        copied = []
        for version in registry.versions(models):
            shutil.copytree(registry.verify(models, version), draft / "models" / version)
            copied.append(f"model {version}")
        if (models / "active").exists():
            shutil.copy2(models / "active", draft / "models" / "active")
        # SQLite's own online backup: one state of the database, whatever is written meanwhile.
        with closing(sqlite3.connect(url.database)) as source, closing(sqlite3.connect(draft / DATABASE)) as copy:
            source.backup(copy)
            [verdict] = copy.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise BackupError(f"{url.database} is damaged ({verdict})")
        draft.rename(target)
    except shutil.Error as error:
        place, reason = error.args[0][0][1:]
        raise BackupError(f"{place} cannot be written ({reason}); nothing was kept") from None
    except sqlite3.Error as error:
        raise BackupError(f"{url.database} cannot be copied ({error}); nothing was kept") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [*copied, f"database {url.database}"]
