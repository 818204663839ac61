"""The platform as a WSGI application: everything but streams and WebSockets, for who serves those apart."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loomsite.settings")
application = get_wsgi_application()
