# One image for every process; docker-compose.yml says which process a container runs.
FROM python:3.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# Packages come before the code, so that a change of the code does not install them again.
COPY requirements/production.txt /tmp/requirements.txt
RUN pip install --require-hashes --only-binary=:all: -r /tmp/requirements.txt

WORKDIR /app
COPY . .

# The settings need secrets and servers, but collecting files needs neither. These values live only as
# long as this command. The command leaves only the collected files and compiled code in the image.
RUN SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(48))')" \
    ENCRYPTION_KEYS="$(python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())')" \
    DATABASE_URL=postgresql://nobody@localhost/nothing \
    CELERY_BROKER_URL=redis://localhost \
    ALLOWED_HOSTS=localhost \
    DJANGO_SETTINGS_MODULE=config.settings.production \
    python manage.py collectstatic --noinput \
    && python -m compileall -q config accounts jobs bots scraping


FROM python:3.12-slim-bookworm

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings.production

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin lurker

# Owned by root: the processes cannot change their own code.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

WORKDIR /app
USER 10001

# The web process, on port $PORT (8000). Other commands: `celery -A config worker|beat|flower`,
# `python manage.py ...`.
CMD ["gunicorn", "--config", "python:config.gunicorn", "config.wsgi"]
