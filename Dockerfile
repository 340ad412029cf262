# The watcher as a container. Two stages on one base: what is built in the first is copied to where it was built.
# The digest is the image index of all platforms; CONTRIBUTING.md, "Releasing", says how to renew it.
FROM python:3.13.15-slim-bookworm@sha256:cbd229d7b9bd041012af758ce5ffd807a6518d76493ce9035d208f1db9ceff1e AS build
WORKDIR /src
# The dependencies come first, since they change less often than the code.
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements/build.lock \
    && python3 -m venv --without-pip /opt/watcher \
    && /opt/build/bin/python -m pip --python /opt/watcher/bin/python install \
        --no-cache-dir --no-compile --require-hashes --requirement requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY watcher/ watcher/
COPY docs/watcher.1 docs/
# Compiled without looking at times, so that a read-only file system starts as fast as any.
RUN /opt/build/bin/python -m hatchling build --target wheel \
    && /opt/build/bin/python -m pip --python /opt/watcher/bin/python install \
        --no-cache-dir --no-compile --no-index --no-deps dist/*.whl \
    && find /opt/watcher -type d \( -name tests -o -name test \) -prune -exec rm -r {} + \
    && /opt/watcher/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/watcher/lib

FROM python:3.13.15-slim-bookworm@sha256:cbd229d7b9bd041012af758ce5ffd807a6518d76493ce9035d208f1db9ceff1e
LABEL org.opencontainers.image.title="mixpeek-watcher" \
      org.opencontainers.image.description="Watches asynchronous Mixpeek tasks and sends each status change as a signed webhook or a Slack message." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is installed here any more; and the one folder that is written to belongs to the user that writes.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/pip* \
    && install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/watcher
COPY --from=build /opt/watcher /opt/watcher
ENV PATH=/opt/watcher/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/watcher
VOLUME /var/lib/watcher
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["watcher", "healthcheck"]
ENTRYPOINT ["watcher"]
CMD ["run"]
