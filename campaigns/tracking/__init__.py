"""MLflow: a projection of a campaign's ledger, live or made again at any time.

The ledger is the record; what MLflow shows can be thrown away and rebuilt. Nothing
outside this folder imports MLflow.
"""

from campaigns.tracking.live import LiveTracker
from campaigns.tracking.store import default_uri, sync, ui_command

__all__ = ["LiveTracker", "default_uri", "sync", "ui_command"]
