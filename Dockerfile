# The image of one Tandem node. Build: docker build -t tandem .   Run three of them: docker compose up
FROM eclipse-temurin:25-jdk AS build
WORKDIR /src
COPY . .
RUN ./mvnw -B -ntp -Dmaven.test.skip=true -pl cluster-config -am package

FROM eclipse-temurin:25-jre
# Aeron keeps its buffers in /dev/shm: give the container --shm-size=256m or more.
RUN useradd --system --create-home --home-dir /opt/tandem tandem
WORKDIR /opt/tandem
COPY --from=build /src/cluster-config/target/dist/lib lib
COPY tandem deploy/docker/node.sh ./
USER tandem
ENV TANDEM_CACHE=/models TANDEM_JAVA=/opt/java/openjdk
VOLUME /models
EXPOSE 8080 7481/tcp 7482/udp 7483/tcp
# docker stop sends SIGTERM: the node leaves the cluster in order.
STOPSIGNAL SIGTERM
ENTRYPOINT ["./node.sh"]
