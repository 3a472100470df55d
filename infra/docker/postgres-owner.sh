#!/bin/bash
# Runs once, when the cluster is made: the owner of the database is no superuser, but may make the services' roles.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 \
  --set owner="${GATEHOUSE_DB_USER:-gatehouse}" --set database="${GATEHOUSE_DB_NAME:-gatehouse}" \
  --set password="${GATEHOUSE_DB_PASSWORD:?set POSTGRES_PASSWORD}" <<'SQL'
create role :"owner" login createrole password :'password';
create database :"database" owner :"owner";
SQL
