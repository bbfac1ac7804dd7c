# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/viridian . \
 && mkdir -p /out/state

# No shell and no package manager. Its certificates are for databases that are reached by TLS.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/viridian /usr/local/bin/viridian
# A new volume that is mounted here takes over this folder's owner.
COPY --from=build --chown=65532:65532 /out/state /var/lib/viridian
USER 65532:65532
EXPOSE 7070 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/viridian"]
CMD ["serve"]
