export const startHelp = `npm start            bring the whole platform up and print where it listens
npm start -- --logs  the same, with the services' log on the terminal

Settings (environment)
  PORT, HOST                 where it listens                      (8080, 127.0.0.1)
  GATEHOUSE_HOME             the folder for its state              (.data)
  GATEHOUSE_ADMIN_EMAIL,
  GATEHOUSE_ADMIN_PASSWORD   the first administrator               (made up, printed once)
  DATABASE_URL               a Postgres of yours, 15 or newer      (an embedded one)
  NATS_URL                   a nats-server of yours, with JetStream (an embedded one)
  RATE_LIMIT_REDIS_URL       a Redis of yours for the rate limits  (memory)
  GATEHOUSE_SECRET, ENCRYPTION_KEYS, ENCRYPTION_CURRENT_KEY_ID
                             the secrets          (made up, kept in <home>/secrets.json)
  NATS_SERVER                path of a nats-server, 2.11 or newer  (PATH, else fetched with apt)
  LOG_TO=stdout              the log on the terminal               (<home>/gatehouse.log)
Every other setting of the services works as well: see docs/config.md.

Ctrl-C or SIGTERM stops everything in order; a second Ctrl-C does not wait.
`;
