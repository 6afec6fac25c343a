# The ledger as an image: every command of `licensing-ledger`, as a user without rights, on a file system that may be read-only.
# Only /tmp and /data are written; /data is the working folder, where SQLite and the first operator key lie if nothing else is set.

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv /opt/licensing-ledger \
    && /opt/licensing-ledger/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml LICENSE ./
COPY ledger ledger
COPY projections projections
COPY api api
COPY consumers consumers
COPY commands commands
# What only builds is taken away again, pip itself last.
RUN /opt/licensing-ledger/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/licensing-ledger/bin/python -m pip uninstall --yes editables hatchling pathspec pluggy tomlkit trove-classifiers \
    && /opt/licensing-ledger/bin/python -m pip uninstall --yes setuptools pip

FROM python:3.11.14-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action ignore wheel setuptools pip \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/licensing-ledger /opt/licensing-ledger
ENV PATH=/opt/licensing-ledger/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# In a container others come in from outside of it.
ENV LEDGER_HOST=0.0.0.0 LEDGER_PORT=8080
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["licensing-ledger"]
CMD ["serve"]
