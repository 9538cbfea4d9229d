"""Django's settings, all from ROUNDHOUSE_ variables (see env.py and docs/configuration.md)."""

import os
from datetime import timedelta
from urllib.parse import urlsplit

from roundhouse.data_folder import explain_os_error, prepare_data_folder, read_or_create_secret
from roundhouse.env import ROOT, BadEnvironment, read_environment
from roundhouse.logs import logging_config

try:
    env = read_environment(os.environ)
    prepare_data_folder(env.data)  # every process runs this before it writes anything
    SECRET_KEY = env.secret_key or read_or_create_secret(env.data / "secret-key")
    AUDIT_KEY = env.audit_key or read_or_create_secret(env.data / "audit-key")
    BUNDLE_SECRET = env.bundle_secret or (
        read_or_create_secret(env.data / "bundle-secret") if env.profile == "embedded" else ""
    )
except BadEnvironment as bad:
    # With SystemExit every entry point (manage.py, Celery, granian) prints the text and exits with 1, without a traceback.
    raise SystemExit(str(bad)) from None
except OSError as error:
    raise SystemExit(explain_os_error(env.data, error)) from None

PROFILE = env.profile
DATA_DIR = env.data
TRUSTED_BUNDLE_KEYS = env.trusted_bundle_keys
DEBUG = env.debug

BIND, PORT = env.bind, env.port
WEB_PROCESSES, WEB_THREADS = env.web_processes, env.web_threads
WORKER_THREADS = env.worker_threads
EXECUTOR, POOL = env.executor, env.pool
WARM_LIMIT_S, WATCHDOG_S = env.warm_limit_s, env.watchdog_s
JOB_THREADS, JOB_NICENESS = env.job_threads, env.job_niceness
JOB_LEASE_S, JOB_KEEP_DAYS = env.job_lease_s, env.job_keep_days
DECISION_DAYS = env.decision_days
JOB_FOLDERS = env.job_folders
JOB_OPEN, JOB_OPEN_ROWS, JOB_OPEN_BYTES = env.job_open, env.job_open_rows, env.job_open_mb * 2**20
INTRA_OP_THREADS = env.intra_op_threads
SESSION_MEMORY_BYTES = env.session_memory_mb * 2**20
PREDICT_JSON_BYTES = env.predict_json_mb * 2**20
PREDICT_BINARY_BYTES = env.predict_binary_mb * 2**20
PREDICT_MEMORY_BYTES = (
    env.predict_memory_mb or max(512, 5 * env.predict_json_mb, 5 * env.predict_binary_mb)
) * 2**20
UPLOAD_BYTES = env.upload_mb * 2**20
DOWNLOAD_LINK_S = env.download_link_s
GRPC_PORT = env.grpc_port
DEFAULT_MODELS = env.default_models
REDIS_URL = env.redis_url
REDIS_KEY_PREFIX = "roundhouse:"  # prefix of every key, including Celery's
ARTIFACT_STORE_URL = env.artifact_store_url
FORMATS = env.formats
FETCH_ALLOWED_HOSTS, ITEM_HOSTS = frozenset(env.fetch_allowed_hosts), env.item_hosts

MAIL_IS_SET_UP = bool(env.smtp_url and env.mail_from)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.mail_from or "webmaster@localhost"
_smtp = env.smtp_url or {}
EMAIL_HOST, EMAIL_PORT = _smtp.get("host", "localhost"), _smtp.get("port", 25)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _smtp.get("user", ""), _smtp.get("password", "")
EMAIL_USE_TLS, EMAIL_USE_SSL = _smtp.get("starttls", False), _smtp.get("tls", False)
EMAIL_TIMEOUT = 10

PUBLIC_URL = env.public_url or f"http://{'127.0.0.1' if BIND in {'0.0.0.0', '::'} else BIND}:{PORT}"  # noqa: S104
ALLOWED_HOSTS = [*env.allowed_hosts, *([urlsplit(env.public_url).hostname] if env.public_url else [])]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_REFERRER_POLICY = "same-origin"
TRUSTED_PROXIES = env.trusted_proxies
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "roundhouse",
    "registry",
    "inference",
    "moderation",
]

MIDDLEWARE = [
    "roundhouse.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "roundhouse.middleware.ContentSecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "registry.access.authentication.ActorMiddleware",
    "roundhouse.middleware.ViewersZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it turns a locked login into a response
]

ROOT_URLCONF = "roundhouse.urls"
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
            ],
        },
    },
]

if env.database_url:
    # A connection for each thread, or requests would wait for one and fail.
    DATABASES = {
        "default": {
            **env.database_url,
            "CONN_MAX_AGE": 0,
            "OPTIONS": {"pool": {"min_size": 1, "max_size": WEB_THREADS + 32, "timeout": 5}},
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "roundhouse.sqlite3",
            # IMMEDIATE: a deferred transaction that starts to write fails immediately if another one is writing.
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # What is deleted is overwritten, so that erased contents are not left in the file.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: a locked account is refused before its password is checked
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "registry.access.login.client_address"
AXES_COOLOFF_MESSAGE = (
    "Too many wrong passwords. Wait 15 minutes, or ask an administrator to unlock your account."
)
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False  # registry.access.admin shows locked accounts
AXES_VERBOSE = False

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["roundhouse.formats"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [ROOT / "templates" / "static"]
WHITENOISE_USE_FINDERS = True  # served from the packages: no collectstatic, no copy that goes stale
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "media"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "registry.access.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["registry.access.authentication.DenyAll"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "roundhouse.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,  # operations use `?format=` themselves
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Roundhouse",
    "VERSION": "1",
    "DESCRIPTION": "Predictions, and the registry of the models that make them.",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "TAGS": [  # the order of the pages; predictions first
        {"name": "predictions", "description": "Send rows to a Model, and describe what it takes."},
        {"name": "jobs", "description": "Predict a file of rows in the background."},
        {"name": "models", "description": "The Models that exist, and their figures."},
        {"name": "versions", "description": "A Model's versions and their serving settings."},
        {"name": "uploads", "description": "Send a file in parts; it becomes a version."},
        {"name": "artifacts", "description": "Stored files, by SHA-256."},
        {"name": "checks", "description": "Checklists, examples and golden sets."},
        {
            "name": "splits",
            "description": "Which version answers which share of the requests, now and before.",
        },
        {"name": "requests", "description": "Splits that need a second person's approval."},
        {"name": "aliases", "description": "Movable names for versions."},
        {"name": "holds", "description": "Stop, start, freeze and unfreeze a Model."},
        {"name": "engines", "description": "The processes that hold warmed sessions."},
        {"name": "record", "description": "Audit records, events, subscriptions and deliveries."},
        {"name": "access", "description": "Keys, tenants, and who you are."},
    ],
    # The docstrings of our base views are not for callers.
    "GET_LIB_DOC_EXCLUDES": "roundhouse.schema.undocumented_classes",
    "POSTPROCESSING_HOOKS": ["roundhouse.schema.add_problems", "roundhouse.schema.any_of_forms"],
}

UNFOLD = {
    "SITE_TITLE": "Roundhouse",
    "SITE_HEADER": "Roundhouse",
    "SITE_SUBHEADER": "Models under steam",
    "SITE_SYMBOL": "train",
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "roundhouse.theme.favicon"}],
    "STYLES": ["roundhouse.theme.stylesheet"],
    "SCRIPTS": [
        "roundhouse.theme.zone_script",
        "roundhouse.theme.field_names_script",
        "roundhouse.theme.live_script",
        "roundhouse.theme.search_script",
        "roundhouse.theme.forms_script",
        "roundhouse.theme.copy_script",
    ],
    "SIDEBAR": {"show_search": True, "navigation": "roundhouse.theme.navigation"},
    "COLORS": {
        "primary": {
            "50": "oklch(97% .02 195)", "100": "oklch(93% .04 195)", "200": "oklch(88% .07 195)",
            "300": "oklch(81% .10 195)", "400": "oklch(73% .12 195)", "500": "oklch(63% .12 197)",
            "600": "oklch(52% .10 200)", "700": "oklch(44% .085 203)", "800": "oklch(37% .07 206)",
            "900": "oklch(31% .055 210)", "950": "oklch(24% .045 214)",
        },
    },
}  # fmt: skip

LOG_LEVEL = env.log_level
LOGGING_CONFIG = None  # structlog is configured below, before Django logs anything
logging_config(
    as_json=env.log_format == "json" or (env.log_format == "auto" and PROFILE == "production"),
    level=LOG_LEVEL.upper(),
)
