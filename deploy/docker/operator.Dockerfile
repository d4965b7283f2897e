# The operator, and the autoscaler beside heads (its Ray is the one that heads should have, too).
#   docker build -f deploy/docker/operator.Dockerfile -t rayfleet:0.1.0.dev0 .
ARG PYTHON=3.11

FROM python:${PYTHON} AS build
WORKDIR /src
COPY requirements/kubernetes.lock requirements/
RUN python -m venv /opt/rayfleet \
    && /opt/rayfleet/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements/kubernetes.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
# The build compiles the planner's kernel; what it is built with stays behind.
RUN /opt/rayfleet/bin/pip install --no-cache-dir --no-deps .

FROM python:${PYTHON}-slim
RUN groupadd --gid 1000 ray && useradd --uid 1000 --gid ray --create-home ray
COPY --from=build /opt/rayfleet /opt/rayfleet
ENV PATH=/opt/rayfleet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The user of Ray's own images: the autoscaler reads and writes beside the head, below /tmp/ray.
USER 1000:1000
ENTRYPOINT ["rayfleet"]
CMD ["operator"]
