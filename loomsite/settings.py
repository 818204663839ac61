"""The one settings module. What differs between places comes from the environment through `loomsite.env`."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from psycopg.conninfo import conninfo_to_dict

from loomsite.env import ROOT, get_env

env = get_env()

SECRET_KEY = env.secret_key
DEBUG = env.debug
ALLOWED_HOSTS = env.allowed_hosts

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "ninja",  # for the API's documentation pages, which must not come from elsewhere
    "audit",
    "governance",
    "memory",
    "agents",
    "loomsite",
]

MIDDLEWARE = [
    "loomsite.middleware.FreeConnection",
    "loomsite.middleware.RequestId",
    "loomsite.middleware.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "loomsite.middleware.Problems",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "governance.auth.TenantScope",
]

ROOT_URLCONF = "loomsite.urls"
WSGI_APPLICATION = "loomsite.wsgi.application"
ASGI_APPLICATION = "loomsite.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "governance.views.members.navigation",
            ]
        },
    }
]


def _database(url: str, **options: Any) -> dict[str, Any]:
    parts = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "loom"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": {**parts, **options},
        # Transactions carry the tenant, so the pool may hand any connection to anybody; this also suits PgBouncer.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }


# While the database is away a request waits three seconds at most; the first one after it is back finds it.
# `default` is the application's role, which owns nothing; `owner` migrates. Only `manage.py migrate` uses the second.
DATABASES = {
    "default": _database(env.database_url, pool={"min_size": 1, "max_size": 16, "timeout": 3, "reconnect_timeout": 2}),
    "owner": _database(env.database_owner_url or env.database_url),
}
DATABASE_ROUTERS: list[str] = []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "governance.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "console:login"
LOGIN_REDIRECT_URL = "console:runs"
LOGOUT_REDIRECT_URL = "console:login"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
STATIC_ROOT = env.data_dir / "static"
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.behind_tls
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.behind_tls else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024  # a run's input is limited to half of this; see agents/schemas.py

# Nudges only: who misses one reads the journal a moment later. So the layer that keeps nothing is the right one.
CHANNEL_PREFIX = "loom"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [env.redis_url], "prefix": CHANNEL_PREFIX},
    }
}

CELERY_BROKER_URL = env.redis_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "loom"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A dead broker must not hold up a request: fail in a tenth of a second, the rescue finds the run.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.05,
    "interval_max": 0.1,
    "socket_connect_timeout": 0.5,
    "socket_timeout": 5,
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BEAT_SCHEDULE = {
    "rescue": {"task": "agents.wake", "schedule": 5.0, "options": {"expires": 5}},
    "tick": {"task": "agents.tick", "schedule": 2.0, "options": {"expires": 5}},
    "retention": {"task": "agents.retention", "schedule": 3600.0, "options": {"expires": 600}},
}

LOOM = env

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "loomsite.middleware.RequestIdInLogs"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request"]}},
    "root": {"handlers": ["stderr"], "level": env.log_level},
    "loggers": {
        # A line for each wake-up says nothing, and one for each request tells addresses, of which some hold a key.
        name: {"level": "WARNING"}
        for name in ("celery.app.trace", "celery.beat", "celery.worker.strategy", "httpx", "httpx2")
    },
}

UNFOLD = {
    "SITE_TITLE": "Loom",
    "SITE_HEADER": "Loom",
    "SITE_ICON": lambda request: static("console/loom.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/loom.svg")}],
    "STYLES": [lambda request: static("console/admin.css")],
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "ENVIRONMENT": "governance.auth.tenant_badge",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254)", "100": "oklch(93% .032 255)", "200": "oklch(88% .059 254)",
            "300": "oklch(80% .105 251)", "400": "oklch(70% .165 254)", "500": "oklch(62% .214 259)",
            "600": "oklch(54% .245 262)", "700": "oklch(48% .243 264)", "800": "oklch(42% .199 265)",
            "900": "oklch(37% .146 265)", "950": "oklch(28% .091 267)",
        }
    },
}  # fmt: skip
