"""The command line: score, serve, train, and looking after models and API keys."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import contextmanager
from pathlib import Path

import click
from pydantic import ValidationError

from moderation import __version__
from moderation.comments import DataError
from moderation.registry import ModelError
from moderation.settings import SCOPES, SHIPPED, Settings, wrong_settings

# What a person can mend gets its one line; anything else is a fault and keeps its traceback.
_MENDABLE = (DataError, ModelError)


@contextmanager
def _mendable():
    try:
        yield
    except _MENDABLE as error:
        raise click.ClickException(str(error)) from None
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        raise click.ClickException("; ".join(wrong_settings(error))) from None


class _Group(click.Group):
    def invoke(self, ctx):
        with _mendable():
            return super().invoke(ctx)


class _Command(click.Command):
    def invoke(self, ctx):
        with _mendable():
            return super().invoke(ctx)


def _progress():
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="moderation")
def main():
    """Flag abusive, mocking and off-topic reader comments."""


# ---------------------------------------------------------------------------------------- score


@main.command()
@click.argument("source", metavar="IN.csv", type=click.Path(allow_dash=True))
@click.argument("target", metavar="OUT.csv", type=click.Path(allow_dash=True))
@click.option(
    "--articles",
    metavar="ARTICLES.csv",
    help="The articles that article_id names; without, off_topic is empty.",
)
@click.option("--model", "version", metavar="VERSION", default="", help="Model version; the active one by default.")
@click.option("--models", type=click.Path(path_type=Path), default=None, help="Folder of the model versions.")
@click.option(
    "--engine",
    type=click.Choice(["local", "dask"]),
    default="local",
    show_default=True,
    help="dask: on many processes, and an interrupted run goes on where it stopped.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", default="", help="With dask: a cluster's; without, this machine is one."
)
@click.option(
    "--workers", type=click.IntRange(1), help="With dask and no --scheduler: processes; one a core by default."
)
@click.option(
    "--part", metavar="ROWS", type=click.IntRange(1), help="With dask: rows that a worker takes at a time.  [10000]"
)
def score(source, target, articles, version, models, engine, scheduler, workers, part):
    """Score the comments of a CSV, JSON Lines or Parquet file.

    OUT.csv gets the columns id, abusive, mocking, off_topic, flagged, a row for each comment in the same order; with
    the name OUT.parquet it is Parquet. A comment that cannot be scored keeps its row with empty scores, and standard
    error says why. "-" stands for standard input and output.
    """
    from moderation import bulk
    from moderation.registry import active, load
    from moderation.scorer import Scorer

    models = models or Settings().models
    version = version or active(models)
    if engine == "dask":
        if "-" in (source, target):
            raise click.UsageError("--engine dask needs files, not standard input or output")
        if scheduler and workers:
            raise click.UsageError("--workers are those that are started here, without --scheduler")
        run = _on_cluster(models, version, scheduler=scheduler, workers=workers, part=part)
    else:
        if scheduler or workers or part:
            raise click.UsageError("--scheduler, --workers and --part need --engine dask")

        def run(*arguments):
            with bulk.one_thread():
                return bulk.score_file(Scorer(load(models, version)), *arguments)

    known = bulk.read_articles(articles) if articles else {}
    with _rows(source) as rows:
        summary = run(source, target, known, rows)
    if summary.reused:
        click.echo(f"{summary.reused:,} of them were finished by an earlier run", err=True)
    for problem in summary.problems:
        click.echo(f"Warning: {problem}", err=True)
    for status, count in sorted(summary.refused.items()):
        click.echo(f"Warning: {count:,} comments are {status}; their scores are empty", err=True)
    if summary.unknown_articles and articles:
        click.echo(
            f"Warning: {summary.unknown_articles:,} comments name an article that is not in {articles}; "
            "their off_topic is empty",
            err=True,
        )
    left = summary.not_scored + summary.not_written
    click.echo(
        f"{summary.scored:,} comments scored, {summary.flagged:,} flagged" + (f", {left:,} not scored" if left else ""),
        err=True,
    )
    if summary.not_written:
        sys.exit(1)


def _on_cluster(models, version, *, scheduler, workers, part):
    try:
        from moderation import cluster
    except ImportError:
        raise click.ClickException(
            "--engine dask needs Dask; install it: pip install 'newsroom-moderation[dask]'"
        ) from None

    def run(*arguments):
        try:
            return cluster.score_file(
                models, version, *arguments, scheduler=scheduler, workers=workers, part=part or cluster.PART
            )
        except cluster.ClusterError as error:
            raise click.ClickException(str(error)) from None

    return run


@contextmanager
def _rows(source):
    """The rows of a file of comments, with a bar that shows how far they are read."""
    from rich.console import Console
    from rich.progress import Progress

    from moderation import bulk, comments, parquet

    if source == "-":
        import io

        yield comments.read_rows(source, io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline=""))
        return
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        if parquet.is_parquet(source):
            yield bar.track(bulk.read_rows(source), total=parquet.count_rows(source), description="Scoring")
            return
        try:
            lines = bar.open(source, "r", encoding="utf-8-sig", newline="", description="Scoring")
        except OSError as error:
            raise DataError(error.strerror or "cannot be read", file=source, mend="Check the path") from None
        with lines:
            yield comments.read_rows(source, lines)


# ---------------------------------------------------------------------------------------- map-threshold


@main.command("map-threshold")
@click.option(
    "--old",
    "source",
    metavar="SCORES.csv",
    required=True,
    help="Comments (text) with the scores that they had (score).",
)
@click.option("--at", type=click.FloatRange(0, 1), required=True, help="The threshold that was used with these scores.")
@click.option(
    "--score", "column", metavar="COLUMN", default="score", show_default=True, help="Column of the old score."
)
@click.option(
    "--truth", metavar="COLUMN", default="", help="Column that says what people decided, 1 rejected and 0 approved."
)
@click.option("--attribute", default="TOXICITY", show_default=True, help="Ours that takes the old score's place.")
@click.option("--articles", metavar="ARTICLES.csv", help="The articles that article_id names, for OFF_TOPIC.")
@click.option("--model", "version", metavar="VERSION", default="", help="Model version; the active one by default.")
@click.option("--models", type=click.Path(path_type=Path), default=None, help="Folder of the model versions.")
def map_threshold(source, at, column, truth, attribute, articles, version, models):
    """Find our threshold that does what another scorer's did.

    From comments with the scores that they had, for example from Perspective: the threshold that flags as many of
    them, and with --truth the lowest one at which as much of what is flagged is right. In brackets: 95 % intervals.
    """
    from moderation import carryover
    from moderation.attributes import NAMES
    from moderation.comments import read_articles
    from moderation.registry import active, load
    from moderation.scorer import Scorer

    if attribute not in NAMES:
        raise click.UsageError(f"{attribute!r} is not one of our attributes: {', '.join(NAMES)}")
    models = models or Settings().models
    scorer = Scorer(load(models, version or active(models)))
    known = read_articles(articles) if articles else {}
    scored = carryover.read(scorer, source, attribute=attribute, score=column, truth=truth, articles=known)
    for problem in scored.problems[:20]:
        click.echo(f"Warning: {problem}", err=True)
    if len(scored.problems) > 20:
        click.echo(f"Warning: {len(scored.problems) - 20:,} more rows were left out", err=True)
    old = carryover.old_point(scored, at)
    rate, precision = carryover.same_flag_rate(scored, at), carryover.same_precision(scored, at)
    click.echo(f"{len(scored.old):,} comments; {attribute} of {scorer.version}\n")
    click.echo(f"{'':22}{'threshold':>22}{'flagged':>18}{'right':>20}{'found':>20}")
    for title, point in (("old scores", old), ("ours, same flag rate", rate), ("ours, same precision", precision)):
        if point is not None:
            click.echo(_threshold_line(title, point))
    if precision is None:
        click.echo(
            "ours, same precision  our scores reach it at no threshold"
            if truth and old.precision is not None
            else "ours, same precision  not known: --truth COLUMN says what people decided"
        )
    click.echo(f"\nOf what the old scores flag, ours flag {rate.agreement:.0%} at the same flag rate.")


def _threshold_line(title, point):
    def share(value, interval):
        return "" if value is None else f"{value:.0%} ({interval[0]:.0%}–{interval[1]:.0%})"

    low_high = point.threshold_interval
    threshold = f"{point.threshold:.3f}" + (f" ({low_high[0]:.3f}–{low_high[1]:.3f})" if low_high else "")
    return (
        f"{title:22}{threshold:>22}{f'{point.flagged:,} = {point.flag_rate:.2%}':>18}"
        f"{share(point.precision, point.precision_interval):>20}{share(point.recall, point.recall_interval):>20}"
    )


# ---------------------------------------------------------------------------------------- serve


@click.command(cls=_Command)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks a free one.  [default: 8000]")
@click.option("--model", metavar="VERSION", help="Model version; without, the active one is followed.")
def serve(host, port, model):
    """Serve the model over HTTP.

    On a loopback address, and as long as no API key was made, requests from this machine need no key. Other
    addresses need one: "python -m moderation keys create NAME" makes it.
    """
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session

    from moderation import erasure, logs, outbox, perspective, store
    from moderation.app import HEADERS, create_app, prepare
    from moderation.auth import is_loopback
    from moderation.background import Repeating, stop
    from moderation.server import Server

    given = {"host": host, "port": port, "model": model}
    settings = Settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    logs.setup(settings.log_level)
    receiver = None
    if settings.webhook_url:
        try:
            receiver = outbox.Receiver(settings.webhook_url, settings.webhook_secret.get_secret_value())
        except ValueError as error:
            raise click.ClickException(f"MODERATION_WEBHOOK_SECRET {error}") from None
    try:
        app = create_app(settings)
    except SQLAlchemyError as error:
        if store.is_damage(error):
            raise click.ClickException(
                f"the database is damaged ({logs.describe(error)}); restore a backup, as docs/operate.md says"
            ) from None
        raise click.ClickException(
            f"the database cannot be used ({logs.describe(error)}); 'python -m moderation doctor' says more"
        ) from None
    with Session(app.extensions["engine"]) as session:
        keyed = store.any_key(session)
    if not is_loopback(settings.host) and not keyed:
        raise click.ClickException(
            f"{settings.host} can be reached from other machines and no API key was made yet; "
            "make one: python -m moderation keys create NAME"
        )
    version = app.extensions["serving"].get().version
    try:
        server = Server(
            app,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            limit=settings.threads + settings.waiting,
            headers=HEADERS,
            on_refusal=app.extensions["metrics"].refused.inc,
            busy=dict.fromkeys(perspective.PATHS, perspective.TOO_BUSY),
        )
    except OSError as error:
        raise click.ClickException(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from None
    app.extensions["metrics"].under_way.set_function(lambda: server.task_dispatcher.under_way)
    mode = "with API keys" if keyed else "without API keys (demonstration mode)"
    _welcome(app, f"http://{settings.host}:{server.effective_port}")

    def announce():
        logging.getLogger("moderation.start").info(
            "Serving model %s on http://%s:%s %s", version, settings.host, server.effective_port, mode
        )

    # What is there by now stays: a search for garbage, during which no request is answered, need not go over it.
    gc.collect()
    gc.freeze()
    background = [Repeating("erasure", erasure.Janitor(app.extensions["engine"], settings.retention)).start()]
    background.append(Repeating("figures", lambda: prepare(app)).start())
    if receiver is not None:
        background.append(Repeating("webhook", outbox.Courier(app.extensions["engine"], receiver)).start())
    try:
        server.run_until_stopped(settings.grace, announce)
    finally:
        stop(background)


def _welcome(app, address):
    """Print the link for the first administrator, until somebody has used it."""
    from moderation import people, store

    with store.writing(app.extensions["engine"]) as session:
        token = people.first_link(session)
    if token:
        click.echo(f"No administrator yet. Choose a password, once, within two days: {address}/setup/{token}")


main.add_command(serve)


# ---------------------------------------------------------------------------------------- train


@click.command(cls=_Command)
@click.option(
    "--data",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Labelled comments, a folder or a file; repeatable.",
)
@click.option("--from-scratch", is_flag=True, help="Ignore the shipped model; needs far more comments.")
@click.option("--name", metavar="VERSION", default="", help="Name of the new version; made from the date by default.")
@click.option("--promote", is_flag=True, help="Make the candidate active, if no label got worse.")
@click.option("--force", is_flag=True, help="With --promote: even if a label got worse.")
@click.option("--skip-bad-rows", is_flag=True, help="Leave out rows that break the format, and list them.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option("--models", type=click.Path(path_type=Path), default=None, help="Folder of the model versions.")
@click.option("--from-queue", is_flag=True, help="Train on the moderators' decisions too, and preview the change.")
@click.option("--run", type=int, help="With --from-queue: report to this training run, which a page began.")
def train(paths, from_scratch, name, promote, force, skip_bad_rows, seed, models, from_queue, run):
    """Train a candidate on data/ and any --data, adapted from the shipped model.

    A fixed fifth of the articles is kept out of training; on its comments the candidate is compared with the
    active model. The candidate is written to models/VERSION/ and becomes active only with --promote, and only if no
    label got worse beyond the confidence interval.
    """
    from rich.console import Console

    from moderation import candidate

    models = models or Settings().models
    if force and not promote:
        raise click.UsageError("--force needs --promote")
    if run is not None and not from_queue:
        raise click.UsageError("--run needs --from-queue")
    data = candidate.read([SHIPPED / "data", *paths], skip_bad_rows=skip_bad_rows)
    for problem in data.problems:
        click.echo(f"Skipped: {problem}", err=True)
    options = {"from_scratch": from_scratch, "name": name, "seed": seed}
    if from_queue:
        made = _train_from_queue(models, data, run, options)
    else:
        with _progress() as progress:
            made = candidate.make(models, data, progress=progress, **options)
    console = Console()
    # A pipe has no width; a table that wraps there cannot be read by scripts.
    Console(width=console.width if console.is_terminal else 120).print(made.table())
    for line in made.trained_on():
        click.echo(line)
    click.echo(f"Candidate {made.version} written to {made.folder}")
    if not promote:
        click.echo(f"To make it active: python -m moderation models activate {made.version}")
        return
    if made.worse and not force:
        raise click.ClickException(
            f"not promoted: {', '.join(made.worse)} got worse than in {made.active}; --force promotes all the same"
        )
    if made.worse:
        click.secho(
            f"WARNING: promoting although {', '.join(made.worse)} got worse than in {made.active} (--force)",
            fg="red",
            bold=True,
            err=True,
        )
    if from_queue:
        from moderation import retraining

        with _session() as session:
            retraining.promote(session, models, made.version, "command line")
            session.commit()
    else:
        _activate(models, made.version)
    click.echo(f"{made.version} is active")


def _train_from_queue(models, data, run, options):
    """Train on the decisions too, in a recorded run, with a preview of what would change."""
    from contextlib import nullcontext

    from moderation import candidate, dataset, learning, registry, retraining, store

    engine = _engine()
    try:
        with retraining.recorded(engine, run) as reporter:
            # The folder: the shipped model's own name says more.
            against = registry.active(models)
            with store.reading(engine) as session:
                data = dataset.join([data, learning.labelled(session)])
            # A page shows the run's own report; a person at the terminal sees bars.
            with nullcontext(reporter) if run is not None else _progress() as progress:
                made = candidate.make(models, data, progress=progress, **options)
                found = retraining.preview(reporter, models, data, made.version, against, progress)
    except retraining.Busy as error:
        raise click.ClickException(str(error)) from None
    for label, flips in found["flips"].items():
        click.echo(
            f"{label}: of {found['recent']:,} recent comments {flips['up']['count']:,} newly flagged, "
            f"{flips['down']['count']:,} no longer"
        )
    return made


main.add_command(train)


@main.command("build-default")
@click.option("--corpora", type=click.Path(path_type=Path), required=True, help="Folder of the training corpora.")
@click.option("--models", type=click.Path(path_type=Path), default=None, help="Folder of the model versions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
def build_default(corpora, models, seed):
    """Build the shipped model from the corpora and data/ ("make model")."""
    from moderation import cost, shipped

    costs = cost.Costs()
    with _progress() as progress:
        folder = shipped.build(corpora, models or Settings().models, seed=seed, progress=progress, costs=costs)
    for line in costs.lines():
        click.echo(line)
    click.echo(f"Written to {folder}")


# ---------------------------------------------------------------------------------------- decisions


@main.command("export")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
def export(folder):
    """Write the moderators' decisions to FOLDER as labelled comments.

    The format is that of "train --data". The service remembers the folder: erasing a comment removes it there too.
    """
    from moderation import learning

    with _session() as session:
        row = learning.export(session, folder, "command line")
        session.commit()
        click.echo(f"{row.rows:,} labelled comments written to {row.path}")


# ---------------------------------------------------------------------------------------- backup and doctor


@main.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
def backup(folder):
    """Copy database and models to FOLDER, which must not exist yet; the service may run meanwhile.

    For SQLite. docs/operate.md says how to restore, and what to do with PostgreSQL.
    """
    from moderation.backup import BackupError
    from moderation.backup import backup as make

    settings = Settings()
    try:
        for copied in make(settings.database_url, settings.models, folder):
            click.echo(copied)
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}") from None
    click.echo(f"Written to {folder}")


@main.command()
@click.option("--url", help="Also look at the service that runs there, such as http://127.0.0.1:8000.")
def doctor(url):
    """Look at configuration, database, model, disk and clock, and say what to mend.

    Exits with 1 where something must be mended.
    """
    from itertools import chain

    from moderation.doctor import BAD, GOOD, examine, running

    worst = 0
    for finding in chain(examine(), running(url) if url else ()):
        mark = {GOOD: "ok", BAD: "BAD"}.get(finding.state, "note")
        click.echo(f"{mark:5}{finding.what}: {finding.found}" + (f"\n     -> {finding.mend}" if finding.mend else ""))
        worst |= finding.state == BAD
    sys.exit(worst)


# ---------------------------------------------------------------------------------------- erasure


@main.group("erase")
def erase_group():
    """Erase comments, and check the proofs that they were."""


def _erase(function, key, by):
    from moderation import erasure, store

    engine = _engine()
    try:
        with store.writing(engine) as session:
            proof = function(session, key, by)
    except erasure.NothingToErase as error:
        raise click.ClickException(str(error)) from None
    erasure.scrub(engine)
    click.echo(f"{proof.comments:,} comments with {proof.revisions:,} texts erased; proof {proof.id}: {proof.chain}")


_BY = click.option("--by", metavar="NAME", default="command line", help="Who asked for it; stands in the proof.")


@erase_group.command("comment")
@click.argument("id", metavar="ID")
@_BY
def erase_comment(id, by):
    """Erase the comment ID."""
    from moderation import erasure

    _erase(erasure.erase_comment, id, by)


@erase_group.command("author")
@click.argument("key", metavar="KEY")
@_BY
def erase_author(key, by):
    """Erase all comments of the author with this KEY."""
    from moderation import erasure

    _erase(erasure.erase_author, key, by)


@erase_group.command("check")
def erase_check():
    """Check that no proof was changed or taken away."""
    from moderation import erasure

    with _session() as session:
        wrong = erasure.broken(session)
    if wrong is not None:
        raise click.ClickException(f"proof {wrong.id} is not what was written, or one before it is missing")
    click.echo("All proofs hold")


# ---------------------------------------------------------------------------------------- models and keys


@main.group("models")
def models_group():
    """List and activate model versions."""


@models_group.command("list")
@click.option("--models", type=click.Path(path_type=Path), default=None, help="Folder of the model versions.")
def models_list(models):
    """List the versions; a star marks the active one."""
    from moderation.registry import active, versions

    models = models or Settings().models
    current = active(models)
    for version in versions(models):
        click.echo(f"{'*' if version == current else ' '} {version}")


@models_group.command("activate")
@click.argument("version")
@click.option("--models", type=click.Path(path_type=Path), default=None, help="Folder of the model versions.")
def models_activate(version, models):
    """Make VERSION the one to serve; running services take it up."""
    _activate(models or Settings().models, version)
    click.echo(f"{version} is active")


def _activate(models, version):
    """Make a version active; and log it, where that is this installation's and its database is there."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from moderation import logs, registry, retraining, store

    registry.activate(models, version)
    settings = Settings()
    try:
        url = make_url(settings.database_url)
        absent = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
        if absent or Path(models).resolve() != settings.models.resolve():
            return
        with store.writing(store.connect(settings.database_url)) as session:
            retraining.reconcile(session, settings.models, "command line")
    except SQLAlchemyError as error:
        click.echo(f"Not logged ({logs.describe(error)}); the service's next start will log it", err=True)


@main.group("keys")
def keys_group():
    """Make, list and revoke API keys."""


def _engine():
    from moderation import store

    settings = Settings()
    store.migrate(settings.database_url)
    return store.connect(settings.database_url)


def _session():
    from sqlalchemy.orm import Session

    return Session(_engine().execution_options(writing=True))


@keys_group.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=["score"],
    type=click.Choice(SCOPES),
    help="What the key is for; repeatable. admin may do everything.  [default: score]",
)
def keys_create(name, scopes):
    """Make an API key for NAME and print it, once."""
    from moderation import demonstration, store

    with _session() as session:
        try:
            key = store.create_key(session, name, scopes)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        demonstration.end(session)
        session.commit()
    click.echo(key)
    click.echo("Keep it: it cannot be shown again. From now on every request needs a key.", err=True)


@keys_group.command("list")
def keys_list():
    """List the keys: name, scopes, day, whether valid."""
    from moderation import store

    with _session() as session:
        for key in store.list_keys(session):
            state = f"revoked {key.revoked:%Y-%m-%d}" if key.revoked else "valid"
            click.echo(f"{key.name}\t{key.scopes}\t{key.created:%Y-%m-%d}\t{state}")


@keys_group.command("revoke")
@click.argument("name")
def keys_revoke(name):
    """Make the key of NAME useless; running services follow within a second."""
    from moderation import store

    with _session() as session:
        if not store.revoke_key(session, name):
            raise click.ClickException(f"there is no valid key called {name!r}")
        session.commit()
    click.echo(f"{name} is revoked")


# ---------------------------------------------------------------------------------------- people


@main.group("people")
def people_group():
    """Let people work at the desk."""


@people_group.command("invite")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["moderator", "lead", "admin"]),
    help="What a new person may do, or an old one from now on.",
)
@click.option(
    "--url", metavar="ADDRESS", default="", help="Where the service is reached, such as https://desk.example."
)
def people_invite(name, role, url):
    """Print a one-time link with which NAME sets a password; for a new person and for a lost password."""
    from moderation import people

    settings = Settings()
    with _session() as session:
        try:
            token = people.invite(session, name, role)
        except people.PeopleError as error:
            raise click.ClickException(str(error)) from None
        session.commit()
    click.echo(f"{(url or f'http://{settings.host}:{settings.port}').rstrip('/')}/setup/{token}")
    click.echo("It works once, for two days.", err=True)


@people_group.command("list")
def people_list():
    """List who may work at the desk, with roles."""
    from moderation import people

    with _session() as session:
        for person in people.everybody(session):
            state = "closed" if person.disabled else "active" if person.password else "invited"
            click.echo(f"{person.name}\t{person.role}\t{state}")
