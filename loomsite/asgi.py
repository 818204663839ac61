"""The platform as an ASGI application: HTTP through Django, WebSockets through Channels."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loomsite.settings")
http = get_asgi_application()  # sets Django up: what is imported below needs that

application = ProtocolTypeRouter({"http": http})
