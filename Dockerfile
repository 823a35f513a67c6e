# syntax=docker/dockerfile:1
# One static binary in an image that has nothing else and runs as nobody's user. For several platforms:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION="$(git describe --tags --always)" -t REGISTRY/tidegate:VERSION .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X github.com/tidegate/tidegate/internal/version.number=$VERSION" -o /out/tidegate .

FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev
LABEL org.opencontainers.image.title="tidegate" \
      org.opencontainers.image.description="Autoscaling for fleets of long-lived connections on Kubernetes" \
      org.opencontainers.image.source="https://github.com/tidegate/tidegate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/tidegate /tidegate
USER 65532:65532
ENTRYPOINT ["/tidegate"]
