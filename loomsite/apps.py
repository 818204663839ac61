"""Binds the shared tasks to our Celery application, in every process that sets Django up."""

from django.apps import AppConfig


class LoomsiteConfig(AppConfig):
    name = "loomsite"

    def ready(self) -> None:
        from loomsite import celery  # noqa: F401 - it takes a second to import: not in processes without Django
