"""The frame: settings, urls, ASGI, Celery, the API's root. It puts the rooms together and decides nothing."""

from __future__ import annotations

# shared tasks bind to the application that exists when Django starts
from loomsite.celery import app as celery_app

__all__ = ["celery_app"]
