# docker build -t spikefinder-keras . && docker run --rm spikefinder-keras
# runs `make submission`; append `make test` to run the test suite instead.
FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /spikefinder_keras
COPY . .
RUN make install
CMD ["make", "submission"]
