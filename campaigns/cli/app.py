"""Commands about one campaign; ``data`` and ``surrogate`` are groups of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from campaigns.campaign import Campaign
    from campaigns.config import CampaignConfig

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find materials with a fraction of the evaluations.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigPath = Annotated[Path, typer.Argument(help="Campaign YAML file.")]
RunPath = Annotated[
    Path, typer.Argument(help="Run folder, for example runs/quickstart.")
]


@app.command()
def validate(config: ConfigPath) -> None:
    """Check a configuration; say what it would cost and what it would leave."""
    from campaigns.config import CampaignConfig
    from campaigns.plan import describe_plan

    print(describe_plan(CampaignConfig.load(config), _run_folder(config, None)))


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Campaign YAML file or run folder.")],
    to: Annotated[
        Path | None, typer.Option(help="Run folder; runs/NAME when not given.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many more rounds.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the first round; spend nothing.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only the result.")
    ] = False,
) -> None:
    """Run a campaign, or continue it where it stopped."""
    from campaigns.campaign import Campaign
    from campaigns.config import CampaignConfig
    from campaigns.interrupt import Interrupted
    from campaigns.ledger_file import FILE
    from campaigns.plan import describe_first_round, describe_plan
    from campaigns.progress import Display

    if config.is_dir():
        folder = config
        loaded = _load_frozen(folder)
    else:
        loaded = CampaignConfig.load(config)
        folder = _run_folder(config, to)
    if dry_run:
        print(describe_plan(loaded, folder))
        print(describe_first_round(loaded))
        return
    if not quiet and not (folder / FILE).exists():
        print(describe_plan(loaded, folder), file=sys.stderr)
    with Campaign.start(loaded, folder) as campaign:
        if campaign.finished:
            print(f"{folder} is finished ({campaign.finished}); nothing to do")
            return
        try:
            reason = campaign.run(rounds, display=Display(quiet=quiet))
        except Interrupted:
            print(f"stopped; continue with: matdisco run {folder}", file=sys.stderr)
            raise typer.Exit(130) from None
        except KeyboardInterrupt:
            print(
                "stopped at once; nothing recorded is lost, continue with: "
                f"matdisco run {folder}",
                file=sys.stderr,
            )
            raise typer.Exit(130) from None
        _print_outcome(campaign, reason)


@app.command()
def status(
    run: RunPath,
    failures: Annotated[
        bool, typer.Option("--failures", help="List the failures by kind.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the whole record first.")
    ] = False,
) -> None:
    """Say where a campaign stands."""
    from campaigns.campaign import Campaign
    from campaigns.costs import predicted

    with Campaign.open(run) as campaign:
        if verify:
            print(f"record verified: {campaign.verify()} events, hash chain intact")
        print(campaign)
        for line in campaign.screened():
            print(f"screening, {line}")
        limited = campaign.config.ladder or campaign.config.budget.limited
        if limited or predicted(campaign.events):
            print("cost, " + "\ncost, ".join(campaign.spending()))
        for line in campaign.agreement():
            print(f"ladder, {line}")
        front = campaign.front()
        if not failures and not front.empty:
            print(front.to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        table = campaign.failures() if failures else campaign.rounds_shown()
        if failures and not table.empty:
            table = table.sort_values(["kind", "round", "candidate"])
            print(table.groupby("kind").size().rename("count").to_string())
        if not table.empty:
            print(table.to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        confirmed = campaign.confirmations()
        if not failures and not confirmed.empty:
            shown = confirmed.drop(columns=["reason"])
            print(shown.to_string(index=False, float_format=lambda v: f"{v:.4g}"))


@app.command()
def report(run: RunPath) -> None:
    """Write report.html anew from the ledger."""
    from campaigns.campaign import Campaign

    with Campaign.open(run) as campaign:
        print(campaign.report())


@app.command()
def track(run: RunPath) -> None:
    """Rebuild everything in MLflow from the ledger."""
    from campaigns.campaign import Campaign

    with Campaign.open(run) as campaign:
        print(f"MLflow run {campaign.track()}")


@app.command()
def ui(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")
    ] = 5000,
    uri: Annotated[
        str | None, typer.Option(help="MLflow store; ./mlflow.db when not given.")
    ] = None,
) -> None:
    """Open the MLflow dashboard on http://127.0.0.1:PORT."""
    import subprocess

    from campaigns.tracking import ui_command

    store = uri or f"sqlite:///{Path('mlflow.db').resolve()}"
    # without the last part MLflow shows its navigation for conversations
    place = f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
    print(f"dashboard on {place} (Ctrl-C ends it)", file=sys.stderr)
    raise typer.Exit(subprocess.call(ui_command(store, port)))


@app.command()
def export(
    run: RunPath,
    to: Annotated[
        Path, typer.Option(help="File: .csv, .parquet, .extxyz, .json or .zip of CIFs.")
    ],
) -> None:
    """Write what a campaign learned to a file other tools read."""
    from campaigns.campaign import Campaign
    from campaigns.exporting import export_campaign

    with Campaign.open(run) as campaign:
        print(export_campaign(campaign, to))


@app.command()
def schema() -> None:
    """Print the JSON Schema of campaign files, for editors."""
    import json

    from campaigns.config import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _run_folder(config: Path, to: Path | None) -> Path:
    return to if to is not None else Path("runs") / config.stem


def _load_frozen(folder: Path) -> CampaignConfig:
    from campaigns.config import CampaignConfig
    from campaigns.ledger import Ledger

    Ledger.open(folder).close()
    return CampaignConfig.load(folder / "config.yaml")


def _print_outcome(campaign: Campaign, reason: str) -> None:
    from campaigns.summary import summarise

    print(summarise(campaign, reason))


def _mount() -> None:
    from importlib import import_module
    from importlib.util import find_spec

    from campaigns.cli.candidates import candidates
    from campaigns.cli.compare import compare
    from campaigns.cli.init import init
    from campaigns.cli.label import label
    from campaigns.cli.people import proposals, tell
    from campaigns.cli.replay import replay

    for command in (candidates, compare, init, label, proposals, replay, tell):
        app.command()(command)
    app.add_typer(import_module("campaigns.cli.data").app, name="data")
    surrogate = typer.Typer(
        no_args_is_help=True,
        help="Train, use, assess and compare surrogates.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in ("surrogate", "assess"):  # one group, written in two files
        if find_spec(f"campaigns.cli.{name}"):
            surrogate.add_typer(import_module(f"campaigns.cli.{name}").app)
    app.add_typer(surrogate, name="surrogate")


_mount()
