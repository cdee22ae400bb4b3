# The proxy before the services of one use case: HAProxy with the configuration beside this file, and socat, through which
# `mlops deploy` speaks to HAProxy's socket and to a container that has no published port.
FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends haproxy socat \
 && rm -rf /var/lib/apt/lists/*
COPY haproxy.cfg roles.map share.map guard.sh /etc/haproxy/
# A configuration that HAProxy does not take ends the build, and no proxy that runs is touched.
RUN haproxy -c -q -f /etc/haproxy/haproxy.cfg
USER 65532:65532
EXPOSE 8080
# HAProxy's soft stop: connections are closed when their request has been answered.
STOPSIGNAL SIGUSR1
ENTRYPOINT ["haproxy", "-W", "-f", "/etc/haproxy/haproxy.cfg"]
