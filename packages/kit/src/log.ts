import { type DestinationStream, type Logger, pino } from 'pino';

/** A pino logger; messages are constant lower-case strings, the data goes into fields. */
export type Log = Logger;

/** Fields whose values never reach a log, wherever they stand. */
const hidden = [
  'password',
  'old_password',
  'new_password',
  'access_token',
  'refresh_token',
  'token',
  'secret',
  'authorization',
  'cookie',
  'private_key',
  'seed',
  'pepper',
];

/** What a logger needs to know. */
export interface LogOptions {
  /** Left out when children name it: pino would write the field twice. */
  readonly service?: string;
  readonly level: string;
  readonly pretty: boolean;
  readonly destination?: DestinationStream;
}

/** JSON lines with the fields that guide 004 shows (`level` in capitals, `event`, `trace_id`); pretty on a terminal. */
export function createLog(options: LogOptions): Log {
  const paths = hidden.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  return pino(
    {
      level: options.level,
      base: options.service === undefined ? {} : { service: options.service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label.toUpperCase() }) },
      redact: { paths: [...paths, 'headers.authorization', 'headers.cookie'], censor: '[hidden]' },
      serializers: { err: describeError },
      ...(options.pretty && options.destination === undefined
        ? { transport: { target: 'pino-pretty', options: { translateTime: 'SYS:HH:MM:ss.l' } } }
        : {}),
    },
    ...(options.destination === undefined ? [] : [options.destination]),
  ) as Log;
}

/** An error as log fields: name, message, code and stack, without the query or input that some libraries attach. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = 'code' in error ? error.code : undefined;
  const message = withoutUserinfo(error.message);
  return {
    type: error.name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: withoutUserinfo(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

/** Cuts `user:password@` out of any URL in a text. */
export function withoutUserinfo(value: string): string {
  return value.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, '$1');
}
