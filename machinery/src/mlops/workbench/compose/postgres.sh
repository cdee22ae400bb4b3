#!/bin/sh
# Makes the data folder with the database at the first start, then runs PostgreSQL.
set -eu
programs=$(echo /usr/lib/postgresql/*/bin)
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  "$programs/initdb" -D "$PGDATA" -U mlflow --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --pwfile=/tmp/password
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE mlflow" | "$programs/postgres" --single -D "$PGDATA" postgres
else
  echo "ALTER ROLE mlflow PASSWORD '$POSTGRES_PASSWORD'" | "$programs/postgres" --single -D "$PGDATA" postgres
fi
exec "$programs/postgres" -D "$PGDATA" -c "listen_addresses=*" -c unix_socket_directories=/tmp
