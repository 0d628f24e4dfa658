# docker build -t spikefinder-keras . && docker run --rm spikefinder-keras
# runs `make submission`; append another command to run that, such as `make test`, or, to train into
# a folder of yours (readable and writable for the user 1000),
#   docker run --rm --volume "$PWD/runs:/spikefinder_keras/runs" spikefinder-keras \
#     spikefinder-keras train --out runs/mine
# With `docker build --build-arg GPU=1` and `docker run --gpus all` TensorFlow trains on a GPU.
FROM python:3.12.12-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 convi6 && install --directory --owner convi6 /spikefinder_keras
USER convi6
WORKDIR /spikefinder_keras
COPY --chown=convi6 . .
# The versions and hashes of requirements.lock.
RUN make install
ENV PATH=/spikefinder_keras/.venv/bin:$PATH
# TensorFlow's own extra brings CUDA, in the versions that this TensorFlow was built with.
ARG GPU=
RUN if [ -n "$GPU" ]; then python -m pip install "tensorflow[and-cuda]==$(python -c \
    'from importlib.metadata import version; print(version("tensorflow"))')"; fi
CMD ["make", "submission"]
