# Builds the server into an image with one static binary, CA certificates and no shell:
# docker build -t orga-session . ; add --build-arg TAGS=otel for OpenTelemetry, and
# --build-arg COMMIT=$(git rev-parse HEAD) for the commit in the log's first line (docs/operate.md).
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY main.go ./
COPY core core
COPY internal internal
ARG TAGS=""
ARG COMMIT=""
RUN CGO_ENABLED=0 go build -trimpath -tags "$TAGS" -ldflags "-s -w -X github.com/orga-session/orga-session/core.commit=$COMMIT" -o /orga-session .

FROM gcr.io/distroless/static:nonroot
COPY --from=build /orga-session /orga-session
# Listens on all interfaces of the container; publish the port to reach it from outside.
ENV PORT=8080
EXPOSE 8080
ENTRYPOINT ["/orga-session"]
