# A small image for heads and workers, where Ray's own images (rayproject/ray) are too large or out of reach. Add what
# your programs import.
#   docker build -f deploy/docker/ray.Dockerfile -t ray:2.60.0 .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim
# Probes and init containers of operators call wget; curl and procps are for people who look inside.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl procps wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 ray && useradd --uid 1000 --gid ray --create-home --shell /bin/bash ray
COPY requirements/runtime.lock /tmp/runtime.lock
RUN pip install --no-cache-dir --require-hashes -r /tmp/runtime.lock && rm /tmp/runtime.lock
ENV PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /home/ray
# Operators bring the command that starts Ray.
CMD ["/bin/bash"]
