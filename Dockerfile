# Inference alone, without torch, as a user without rights:
#   docker build --tag lraspp .
#   docker run --rm --volume "$PWD:/data" lraspp street.jpg --output out
#   docker run --rm --device /dev/video0 --volume "$PWD:/data" lraspp --video 0 --output camera.mp4
FROM python:3.12-slim-bookworm

# What OpenCV's windows are linked with; they are loaded even where none is opened.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes libgl1 libglib2.0-0 libsm6 libxext6 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements-inference.lock ./
RUN pip install --no-cache-dir --no-deps --requirement requirements-inference.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY configs ./configs
COPY datasets ./datasets
COPY seg ./seg
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home --uid 1000 --groups video lraspp \
    && mkdir /cache && chown lraspp /cache

# What is compiled and chosen for a machine is kept here: give it a volume to start faster the next time.
ENV LRASPP_CACHE_DIR=/cache NUMBA_CACHE_DIR=/cache/numba
USER 1000
WORKDIR /data
ENTRYPOINT ["lraspp", "infer"]
CMD ["--help"]
