#!/bin/bash
# Runs once, when the cluster is made: the owner of the database is no superuser, but may make the services' roles.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set password="$GATEHOUSE_DB_PASSWORD" <<'SQL'
create role gatehouse login createrole password :'password';
create database gatehouse owner gatehouse;
SQL
