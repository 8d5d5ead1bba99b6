"""Settings of all deployments; deployment-specific values are read from the environment by ``env``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from alignment_app import env

BASE_DIR = env.REPOSITORY
HOME = env.home()
VERSION = "0.2.0"

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret_key(HOME)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "alignment_app",
    "labeling",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "alignment_app.middleware.PlainAddressMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "alignment_app.middleware.RolesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "alignment_app.middleware.ContentSecurityPolicyMiddleware",
]

ROOT_URLCONF = "alignment_app.urls"
ASGI_APPLICATION = "alignment_app.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "labeling.context.review",
            ],
        },
    },
]

DATABASES = {"default": env.database(HOME)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.redis_url(HOME)
CHANNEL_LAYERS = {
    # The pub/sub layer has no per-channel capacity: slow pages lose only notifications, not events.
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}},
}

# Mostly failed-login counters. Web processes that share a queue server must count together.
if env.text("REDIS_URL"):
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
        }
    }

AUTHENTICATION_BACKENDS = ["alignment_app.backends.ThrottledBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

SECURE_COOKIES = env.flag("SECURE_COOKIES", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if env.flag("BEHIND_HTTPS_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
# Chart.js and the Inter typeface are served from the package that ships them; it is not an installed app.
PACKAGED_ASSETS = Path(find_spec("unfold").submodule_search_locations[0]) / "static" / "unfold"  # type: ignore[union-attr,index]
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/chart", PACKAGED_ASSETS / "js" / "chart"),
    ("vendor/inter", PACKAGED_ASSETS / "fonts" / "inter"),
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "alignment_app.api.pagination.Pages",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "alignment_app.api.errors.error_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plumbline API",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "OAS_VERSION": "3.1.1",  # the JSON Schema version that pydantic writes
    "POSTPROCESSING_HOOKS": ["alignment_app.api.schema.add_config"],
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "displayRequestDuration": True, "validatorUrl": None},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {
        "once_a_minute": {"()": "alignment_app.logs.OncePerMinute"},
        "hide_keys": {"()": "alignment_app.logs.HideKeys"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["hide_keys"]}},
    # Without Valkey the channel layer retries every second and logs each attempt.
    "loggers": {
        "channels_redis.pubsub": {"filters": ["once_a_minute"]},
        # A line per teacher request would fill the log.
        "httpx2": {"level": "WARNING"},
        "google_genai": {"level": "WARNING"},
    },
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
}

# Lease duration without a heartbeat before an attempt counts as crashed, and the heartbeat interval (s).
LEASE_SECONDS = env.integer("LEASE_SECONDS", 30, low=6, high=3600)
HEARTBEAT_SECONDS = max(2, LEASE_SECONDS // 6)
# A cancelled run stops at its next safe point; its process is killed after this many seconds.
CANCEL_GRACE_SECONDS = env.integer("CANCEL_GRACE_SECONDS", 30, low=1, high=3600)
# Launcher of multi-device training, such as accelerate launch with a config file.
TRAIN_LAUNCH = env.command("PLUMBLINE_TRAIN_LAUNCH")
# Number of consecutive crashes without a new row after which a stage is stopped.
MAX_FRUITLESS_CRASHES = env.integer("MAX_FRUITLESS_CRASHES", 3, low=1, high=100)
# Number of consecutive crashes with new rows after which a stage is stopped.
MAX_CRASHES = env.integer("MAX_CRASHES", 30, low=1, high=1000)
