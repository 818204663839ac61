"""The frame: settings, urls, ASGI, Celery, the API's root. It puts the rooms together and decides nothing."""
