import { type DestinationStream, type Logger, pino } from 'pino';
import { openLogOutput } from './log-output.ts';
import type { Trace } from './trace.ts';

/** A pino logger; messages are constant lower-case strings, the data goes into fields. */
export type Log = Logger;

/** Fields whose values never reach a log, wherever they stand. */
const hidden = [
  'password',
  'old_password',
  'new_password',
  'passphrase',
  'access_token',
  'refresh_token',
  'mfa_token',
  'token',
  'secret',
  'client_secret',
  'authorization',
  'cookie',
  'private_key',
  'seed',
  'creds',
  'jwt',
  'pepper',
  'recovery_codes',
];

/** What a logger needs to know. */
export interface LogOptions {
  /** Left out when children name it: pino would write the field twice. */
  readonly service?: string;
  readonly level: string;
  readonly pretty: boolean;
  readonly destination?: DestinationStream;
}

/** Whether a person reads along: on a terminal, unless it is production's, whose logs are collected all the same. */
export const readByPerson = (environment: string, output: { readonly isTTY?: boolean }): boolean =>
  environment === 'development' && output.isTTY === true;

/**
 * JSON lines with the fields that guide 004 shows (`level` in capitals, `event`, `trace_id`); pretty for a person.
 * Who writes of a request names its trace. It is not taken from the context of the code that runs: a connection of the
 * pool lives in the context of whichever request opened it, and would name that one for ever.
 */
export function createLog(options: LogOptions): Log {
  const paths = hidden.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const pretty = options.pretty && options.destination === undefined;
  const settings = {
    level: options.level,
    base: options.service === undefined ? {} : { service: options.service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label.toUpperCase() }) },
    redact: { paths: [...paths, 'headers.authorization', 'headers.cookie'], censor: '[hidden]' },
    serializers: { err: describeError },
  };
  if (pretty)
    return pino({
      ...settings,
      transport: { target: 'pino-pretty', options: { translateTime: 'SYS:HH:MM:ss.l' } },
    });
  const onLost = (lines: number) => log.warn({ lines }, 'log lines lost: they could not be written');
  const log: Log = pino(settings, options.destination ?? openLogOutput({ fd: 1, onLost }));
  return log;
}

/** A log whose lines all name the trace of a request. */
export const tracedLog = (log: Log, trace: Pick<Trace, 'traceId'>): Log =>
  log.child({ trace_id: trace.traceId });

/**
 * Lets logs write everything, or back again what the settings say. Returns the level now. A log that was made from
 * another keeps its own level, so all are to be given.
 */
export function toggleDebug(logs: readonly Log[], level: string): string {
  const now = logs[0]?.level === 'debug' ? level : 'debug';
  for (const log of logs) log.level = now;
  return now;
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
